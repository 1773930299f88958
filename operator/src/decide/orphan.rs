//! A source that may never answer again.
//!
//! Only the source's agent knows whether it has committed: its journal is the truth. While its node may still run
//! something, nobody may decide in its place: deciding for the target could give two, deciding against it none. So the
//! operator waits, as long as it takes, until Kubernetes itself says that nothing of the source can be running:
//!
//! - the source's node is tainted `node.kubernetes.io/out-of-service`; or
//! - its `Node` object is gone and the pod with it (pod garbage collection removes such pods); or
//! - the pod is gone, the deadline is past by [`AWAY_AFTER_DEADLINE`], and the node's kubelet is ready: it kills
//!   whatever belongs to no pod.
//!
//! Then "never two" holds whatever is decided, and what remains is "never none":
//!
//! | target's agent says         | settled for                                                                   |
//! |-----------------------------|-------------------------------------------------------------------------------|
//! | `Running`                   | the target: it runs, so the source has committed                              |
//! | `Holding`                   | the target: it holds everything, whether or not the source had committed      |
//! | `Aborted`                   | nobody: what is left cannot run                                               |
//! | anything else               | nobody, but only when the deadline is past by [`AWAY_AFTER_DEADLINE`]: until then `Holding` may be on its way |
//!
//! One more case ends by itself: the source's agent has never reported anything, so it has touched nothing (it reports
//! `Copying` first), it commits to nothing after the deadline, and kubelet does not see the target's containers run.
//! Then the source runs untouched and the target goes.

use std::time::Duration;

use godwit_crds::TargetState;

use super::step::Step;
use crate::{facts, reason};

/// How long after the deadline an agent that has not answered counts as away. Agents give up at the deadline by
/// themselves; this is for their answer to arrive.
pub const AWAY_AFTER_DEADLINE: Duration = Duration::from_mins(1);

pub(super) enum Verdict {
    /// Not the operator's to decide; with what to tell the user, if it has become worth telling.
    Wait(Option<String>),
    /// The target becomes the workload.
    TargetRuns(String),
    /// The target goes.
    TargetEnds { reason: &'static str, message: String },
}

pub(super) fn judge(step: &Step<'_>) -> Verdict {
    let observed = step.observed;
    let Some(plan) = step.plan() else {
        return Verdict::Wait(None);
    };
    let node = plan.source_node.as_str();
    let long_past = step
        .overdue()
        .is_some_and(|overdue| overdue >= AWAY_AFTER_DEADLINE);
    let pod_is_gone = observed.planned_source().is_none();
    let cannot_run = match observed.node(node) {
        None => pod_is_gone,
        Some(_) if observed.is_surely_dead(node) => true,
        Some(live) => pod_is_gone && long_past && facts::is_node_ready(live),
    };
    if cannot_run {
        return settle(step, node, long_past);
    }
    if !long_past {
        return Verdict::Wait(None);
    }
    let target_runs = observed
        .own_target()
        .is_some_and(|pod| facts::container_statuses(pod).any(|container| container.started == Some(true)));
    if observed.source_state().is_none()
        && observed.target_state() != Some(TargetState::Running)
        && !target_runs
    {
        return Verdict::TargetEnds {
            reason: reason::AGENT_AWAY,
            message: format!(
                "the agent on {node} never answered, so it has touched nothing; look at the godwit-agent pod of that node"
            ),
        };
    }
    Verdict::Wait(Some(format!(
        "the deadline is long past and the agent on {node} has not said how the migration ended; it will when it is back. If the node is shut down \
         for good, taint it node.kubernetes.io/out-of-service"
    )))
}

fn settle(step: &Step<'_>, node: &str, long_past: bool) -> Verdict {
    let ends = |message| Verdict::TargetEnds {
        reason: reason::SOURCE_NODE_LOST,
        message,
    };
    let target_is_there = step.observed.own_target().is_some();
    match step.observed.target_state() {
        Some(TargetState::Holding | TargetState::Running) if target_is_there => Verdict::TargetRuns(format!(
            "the source cannot be running any more ({node} is lost, or its pod is gone) and the target holds everything: the target runs"
        )),
        Some(TargetState::Holding | TargetState::Running) => ends(format!(
            "the source was lost with {node}, and the target pod is gone too"
        )),
        Some(TargetState::Aborted) => ends(format!(
            "the source was lost with {node} after the target had given up"
        )),
        Some(TargetState::Ready | TargetState::Receiving) | None if long_past => ends(format!(
            "the source was lost with {node} before the target held everything"
        )),
        Some(TargetState::Ready | TargetState::Receiving) | None => Verdict::Wait(None),
    }
}
