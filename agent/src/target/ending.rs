//! Ending what must never run: restored containers are killed while they are frozen, then thawed, so that the first
//! thing that their tasks meet is the signal.

use std::{sync::Arc, time::Duration};

use godwit_container::cgroup::Freezer;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::task;

use super::{container::TargetContainer, page_server::PageServer};
use crate::{failure::chain, node::Node};

/// How long the kernel may take to freeze or thaw.
const FREEZER_DEADLINE: Duration = Duration::from_secs(5);

/// Tells the runtime of every container to give up, and kills what has been restored already.
pub(super) async fn end(node: &Arc<Node>, containers: &[TargetContainer], why: &str) {
    for container in containers {
        if let Err(error) = container.abort(why) {
            tracing::warn!(
                container = container.name,
                error = chain(&error),
                "the runtime could not be told"
            );
        }
    }
    for container in containers {
        let restored = match container.restored_before() {
            Ok(Some(restored)) => restored,
            Ok(None) => continue,
            Err(error) => {
                tracing::warn!(
                    container = container.name,
                    error = chain(&error),
                    "what was restored is not known"
                );
                continue;
            }
        };
        let freezer = match Freezer::of_pid(&node.host, restored.pid) {
            Ok(freezer) => freezer,
            // Most likely it is gone already: kubelet removes the pod at the same time.
            Err(error) => {
                tracing::info!(
                    container = container.name,
                    error = chain(&error),
                    "nothing to end"
                );
                continue;
            }
        };
        if !freezer.directory().to_string_lossy().contains(&restored.id) {
            // The process has ended and its number was given to another one.
            continue;
        }
        let ended = task::spawn_blocking(move || kill_frozen(&freezer)).await;
        tracing::info!(container = container.name, ?ended, "ended while it was held");
    }
    // Last: a process that waits for a page could not be ended before.
    for container in containers.iter().filter(|container| container.lazy) {
        PageServer::of(&container.name, &container.image_dir).end().await;
    }
}

fn kill_frozen(freezer: &Freezer) -> Result<usize, godwit_container::cgroup::CgroupError> {
    freezer.freeze(FREEZER_DEADLINE)?;
    let processes = freezer.processes()?;
    for pid in &processes {
        // A process that is gone is what is wanted.
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
    freezer.thaw(FREEZER_DEADLINE)?;
    Ok(processes.len())
}
