//! What users are told of memory on its way: that the pod is being slowed down, and with what the freeze begins.

use godwit_crds::{CopyMode, SourceMemory};

use super::step::Step;
use crate::reason;

/// Tells of a throttled pod, once when it begins and once when it is over. Only while it is copied.
pub(super) fn tell_of_throttling(step: &mut Step<'_>) {
    let is_throttled = memory(step).is_some_and(|memory| memory.throttle_percent.unwrap_or(0) > 0);
    let is_told = step.status.reason.as_deref() == Some(reason::SLOWED_DOWN);
    if is_throttled {
        // The figure is in status.source.memory; here it would be an event a step.
        let message = "memory changes faster than it is copied: the pod gets less CPU time until the move is over (spec.autoConverge)";
        step.waiting(reason::SLOWED_DOWN, message.to_owned(), true);
    } else if is_told {
        step.waiting(
            reason::TARGET_PARKED,
            "memory is being copied; the pod has its full CPU time again".to_owned(),
            false,
        );
    }
}

/// What the source's agent thought when it went on to freeze, as the end of a sentence; empty where it has not said.
pub(super) fn before_the_freeze(step: &Step<'_>) -> String {
    let Some(memory) = memory(step) else {
        return String::new();
    };
    let how = match (memory.mode, &memory.reason) {
        (Some(CopyMode::PreCopy), _) => match memory.round {
            0 => return String::new(),
            1 => " after one round of copying memory".to_owned(),
            rounds => format!(" after {rounds} rounds of copying memory"),
        },
        (Some(CopyMode::StopAndCopy), Some(reason)) => {
            format!(" with all of its memory ({reason})")
        }
        (Some(CopyMode::StopAndCopy), None) => " with all of its memory".to_owned(),
        (None, _) => return String::new(),
    };
    let expected = memory
        .expected_freeze
        .as_ref()
        .map_or_else(String::new, |freeze| format!("; expected freeze {freeze}"));
    format!("{how}{expected}")
}

fn memory<'a>(step: &'a Step<'_>) -> Option<&'a SourceMemory> {
    step.status.source.as_ref()?.memory.as_ref()
}
