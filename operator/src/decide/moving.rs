//! `Copying` and `Switching`: the agents act, the source's agent decides, the operator follows.
//!
//! Cancelling and deadlines are the agents' business here, because only the source's agent knows whether it has
//! committed: it reads `spec.cancel`, `deletionTimestamp` and `plan.deadline` itself.

use std::time::Duration;

use godwit_crds::{ConditionType, MigrationPhase, SourceState, condition};

use super::memory;
use super::orphan::{self, Verdict};
use super::step::{On, Step};
use crate::reason;

const TICK: Duration = Duration::from_secs(5);

pub(super) fn decide(step: &mut Step<'_>) {
    step.look_again(TICK);
    match step.observed.source_state() {
        Some(SourceState::Committed | SourceState::Released) => {
            return committed(
                step,
                reason::COMMITTED,
                "the source has decided: the target is the workload",
            );
        }
        Some(SourceState::RolledBack) => return rolled_back(step),
        Some(SourceState::Switching) => {
            let message = format!(
                "the source is being frozen and moved{}",
                memory::before_the_freeze(step)
            );
            if step.status.phase == MigrationPhase::Copying {
                step.announce(On::Source, false, reason::SWITCHING, &message);
            }
            step.enter(MigrationPhase::Switching, reason::SWITCHING, message);
        }
        Some(SourceState::Copying | SourceState::Looked) | None => {}
    }
    call_off(step);
    match orphan::judge(step) {
        Verdict::Wait(None) => {
            if step.status.phase == MigrationPhase::Copying {
                memory::tell_of_throttling(step);
            }
        }
        Verdict::Wait(Some(message)) => step.waiting(reason::WAITING_FOR_AGENT, message, true),
        Verdict::TargetRuns(message) => {
            step.status.settlement = Some(godwit_crds::Settlement::TargetRuns);
            committed(step, reason::SETTLED, &message);
        }
        Verdict::TargetEnds { reason, message } => {
            step.status.settlement = Some(godwit_crds::Settlement::TargetEnds);
            step.fail(reason, message);
        }
    }
}

/// A scale-down, a new revision, or whoever else ends the source, wins over a migration that is not committed. Only the
/// source's agent knows whether it is, so it is asked, not told.
fn call_off(step: &mut Step<'_>) {
    let observed = step.observed;
    let stays = observed
        .planned_source()
        .is_some_and(|pod| pod.metadata.deletion_timestamp.is_none());
    // Of a lost node nobody could answer; `orphan` decides.
    let is_lost = step
        .plan()
        .is_none_or(|plan| observed.is_surely_dead(&plan.source_node));
    if !stays && !is_lost {
        let message = "the source pod ended, or was deleted by its owner or a user";
        step.condition(ConditionType::CalledOff, true, reason::SOURCE_GONE, message);
    }
}

fn committed(step: &mut Step<'_>, reason: &str, message: &str) {
    step.condition(ConditionType::Committed, true, reason, message);
    step.announce(On::Target, false, reason, message);
    step.enter(MigrationPhase::Finishing, reason, message.to_owned());
}

fn rolled_back(step: &mut Step<'_>) {
    // What breaks on a node when the pod goes away is not the reason.
    if let Some(why) = condition(&step.status.conditions, ConditionType::CalledOff).cloned() {
        return step.fail(&why.reason, format!("{} before the commit", why.message));
    }
    let source = step.status.source.clone();
    let target = step.status.target.clone();
    let reason = source
        .as_ref()
        .and_then(|report| report.reason.clone())
        .unwrap_or_else(|| reason::ROLLED_BACK.to_owned());
    let at = source
        .as_ref()
        .and_then(|report| report.step.as_deref())
        .map_or_else(String::new, |step| format!("{step}: "));
    let said = source.as_ref().and_then(|report| report.message.as_deref());
    let also = target.as_ref().and_then(|report| report.message.as_deref());
    step.fail(&reason, in_words(&at, said, also));
}

/// What both agents say of the end, once where they say the same: whoever gives up tells the other why, and the target's
/// message has its step in it already (`at` is the source's, with a colon).
fn in_words(at: &str, said: Option<&str>, also: Option<&str>) -> String {
    match (said, also) {
        (Some(said), Some(also)) if also.contains(said) && also.starts_with(at) => also.to_owned(),
        (Some(said), Some(also)) if said.contains(also) => format!("{at}{said}"),
        (Some(said), Some(also)) => format!("{at}{said}; target: {also}"),
        (Some(said), None) => format!("{at}{said}"),
        (None, Some(also)) if also.starts_with(at) => also.to_owned(),
        (None, Some(also)) => format!("{at}{also}"),
        (None, None) => format!("{at}the source's agent rolled back; the source runs on"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_agents_say_is_told_once() {
        let words = "Error (criu/sk-inet.c:1): no";
        for (said, also, told) in [
            // The target gave up, and the source repeats it: the target's message has the step in it.
            (
                Some(words),
                Some("Restore: Error (criu/sk-inet.c:1): no"),
                "Restore: Error (criu/sk-inet.c:1): no",
            ),
            (Some(words), Some(words), "Restore: Error (criu/sk-inet.c:1): no"),
            (Some(words), None, "Restore: Error (criu/sk-inet.c:1): no"),
            (None, Some("Restore: no"), "Restore: no"),
            (None, Some("no"), "Restore: no"),
            // Each knows something of its own.
            (
                Some("the link broke"),
                Some("Receive: no space"),
                "Restore: the link broke; target: Receive: no space",
            ),
            (
                None,
                None,
                "Restore: the source's agent rolled back; the source runs on",
            ),
        ] {
            assert_eq!(in_words("Restore: ", said, also), told);
        }
        assert_eq!(in_words("", Some("no"), Some("no")), "no");
    }
}
