//! Back to a source that runs: the list of [`undo_source`] is worked off, live and after a crash alike.

use std::{path::Path, sync::Arc, time::Duration};

use godwit_container::{
    call::reattach,
    cgroup::{Cpu, CpuLimit},
};
use godwit_network::hold::{self, ActiveHold};
use godwit_runtime::record::{self, RecordDir};
use tokio::{task, time::timeout};

use crate::{
    failure::chain,
    journal::{SourceEntry, Undo, undo_source},
    netns,
    node::Node,
};

/// How long a dump that was let through may still take before the rest of the undo goes ahead. Its supervisor ends it
/// safely at its own deadline, which is later than this only if CRIU is stuck.
const DUMP_ENDS_WITHIN: Duration = Duration::from_secs(150);
/// How long the kernel may take to thaw.
const THAW_DEADLINE: Duration = Duration::from_secs(5);
/// Pause before a step of the undo is tried again.
const AGAIN: Duration = Duration::from_millis(200);
/// How often a step of the undo is tried.
const TRIES: u32 = 25;

/// Undoes what the journal names. A step that fails is tried again for some seconds and then left, with a warning: the
/// steps after it matter more than it does, above all the last one, which lets the pod run.
pub(super) async fn undo(node: &Arc<Node>, entries: &[SourceEntry], mut live: Option<ActiveHold>) {
    for step in undo_source(entries) {
        match step {
            Undo::Unthrottle {
                container,
                cpu,
                former,
                ours,
            } => unthrottle(&container, &cpu, former, &ours).await,
            Undo::EndCheckpoint {
                container,
                call,
                gate,
                frozen,
                ..
            } => {
                end_checkpoint(&container, &call, &gate, frozen).await;
            }
            Undo::Unhold { netns } => {
                if let Some(hold) = live.take()
                    && let Err(error) = hold.rollback().await
                {
                    tracing::warn!(error = chain(&error), "held packets could not be let through");
                }
                unhold(node, &netns).await;
            }
            Undo::Thaw { freezer } => {
                for _ in 0..TRIES {
                    let freezer = freezer.clone();
                    let thawed = task::spawn_blocking(move || {
                        if freezer.directory().exists() {
                            freezer.thaw(THAW_DEADLINE)
                        } else {
                            Ok(())
                        }
                    });
                    match thawed.await {
                        Ok(Ok(())) => break,
                        Ok(Err(error)) => {
                            tracing::warn!(error = chain(&error), "the container could not be thawed");
                        }
                        Err(error) => {
                            tracing::warn!(error = chain(&error), "the container could not be thawed");
                        }
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }
}

async fn unthrottle(container: &str, cpu: &Cpu, former: CpuLimit, ours: &[CpuLimit]) {
    for _ in 0..TRIES {
        match cpu.put_back(former, ours) {
            Ok(true) => return tracing::info!(container, ?former, "the container has its CPU time again"),
            Ok(false) => return,
            Err(error) => {
                tracing::warn!(
                    container,
                    error = chain(&error),
                    "the CPU limit could not be put back"
                );
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Ends a runtime call: at its gate by `abort`; behind it by waiting, since CRIU must not be ended half-way.
async fn end_checkpoint(container: &str, call: &Path, gate: &Path, frozen: bool) {
    if let Ok(gate) = RecordDir::open_handed(gate)
        && let Err(error) = gate.write(record::ABORT, b"the migration was called off")
    {
        tracing::warn!(container, error = chain(&error), "the gate could not be closed");
    }
    let running = match reattach(call) {
        Ok(Some(running)) => running,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(
                container,
                error = chain(&error),
                "the runtime call cannot be found again"
            );
            return;
        }
    };
    match timeout(DUMP_ENDS_WITHIN, running.wait()).await {
        Ok(Ok(outcome)) => tracing::info!(container, ?outcome, frozen, "the runtime call has ended"),
        Ok(Err(error)) => tracing::warn!(container, error = chain(&error), "the runtime call is lost"),
        Err(_) => tracing::warn!(container, "the runtime call does not end"),
    }
}

async fn unhold(node: &Node, on_node: &Path) {
    for _ in 0..TRIES {
        // A namespace that is gone has taken its rules along.
        let Ok(netns) = netns::open(&node.host, on_node) else {
            return;
        };
        let removed = hold::remove_all(&netns).await;
        match removed {
            Ok(()) => return,
            Err(error) => tracing::warn!(error = chain(&error), "the hold could not be removed"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}
