//! The memory of a target that runs already is filled in by its node. `Finishing` lasts until the target's agent says
//! that it is complete, however long that takes: nothing can be undone any more, everything is on that node, and a
//! migration that is over promises that the pod can be moved again.

use std::time::Duration;

use godwit_crds::{ConditionStatus, ConditionType, MigrationPhase};

use super::step::Step;
use crate::{facts, reason};

/// How long a fill may take before it is worth a look. It runs at the speed of memory on one node; this is a terabyte
/// on a slow one.
const LONG: Duration = Duration::from_mins(10);

/// True when there is nothing to fill in (any more).
pub(super) fn is_over(step: &Step<'_>) -> bool {
    let memory = step
        .status
        .target
        .as_ref()
        .and_then(|target| target.memory.as_ref());
    memory.is_none_or(|memory| memory.filled)
}

/// Says that it is being waited for, and when the agent that must say so is away.
///
/// How many pages are left is in `status.target.memory`, not here: the operator would write the status once a second.
pub(super) fn wait(step: &mut Step<'_>) {
    let name = step
        .plan()
        .and_then(|plan| plan.target_node.clone())
        .unwrap_or_default();
    let node = step.observed.node(&name);
    let (reason, message, warning) = if !node.is_some_and(facts::is_node_ready) {
        let message = format!(
            "the target runs as far as is known, but its node {name} does not answer; the migration is over when its memory is known to be complete"
        );
        (reason::WAITING_FOR_AGENT, message, true)
    } else if !node.is_some_and(facts::has_agent) {
        let message = format!(
            "the target runs and its memory is filled in on {name}, but the agent there is away and cannot say when it is complete; look at the godwit-agent pod of that node"
        );
        (reason::WAITING_FOR_AGENT, message, true)
    } else if step.since(MigrationPhase::Finishing) > LONG {
        let message = format!(
            "the target runs; its memory has been filled in for a long time on {name} and is not complete; look at status.target.memory and at the log of the godwit-agent pod of that node"
        );
        (reason::FILLING_MEMORY, message, false)
    } else {
        let message = format!("the target runs; its memory is being filled in on {name}");
        (reason::FILLING_MEMORY, message, false)
    };
    step.condition(
        ConditionType::Succeeded,
        ConditionStatus::Unknown,
        reason,
        &message,
    );
    step.waiting(reason, message, warning);
}
