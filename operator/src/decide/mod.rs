//! What to do next: a pure function of what was observed and of the time.
//!
//! ```text
//! Pending ─► Preflight ─► Preparing ─► Copying ─► Switching ─► Finishing ─► Succeeded
//!                │            │           │           │
//!                ▼            ▼           ▼           ▼
//!              Failed ◄── undo (target pod deleted and gone)
//! ```
//!
//! A failure is first written down, as condition `Succeeded: False` with its reason, and undone by later reconciles;
//! only when nothing is left does the phase become `Failed`. So an operator that restarts half-way still knows why.
//! A commit is the point of no return: nothing here leads from `Finishing` to `Failed`.
//!
//! From `Copying` on the agents decide, and the operator follows their reports. The one exception, a source that can
//! never report again, is in [`orphan`].
//!
//! A migration in legs has no agents of its own: it follows its legs ([`relay`]).

mod adopting;
mod filling;
mod finishing;
mod memory;
mod moving;
mod orphan;
mod parking;
mod preparing;
mod relay;
mod starting;
mod step;
mod timings;
mod undo;

use godwit_crds::{ConditionType, MigrationPhase, condition};
use jiff::Timestamp;

pub use adopting::adoption_refused;
pub use orphan::AWAY_AFTER_DEADLINE;
pub use parking::{IMAGE_GRACE, Parking, UNSCHEDULABLE_GRACE};
pub use step::{Action, Announcement, Decision, On};

use crate::facts::Observed;
use crate::reason;
use step::Step;

/// False while nothing but a finalizer would be left behind if nobody ever looked at the migration again: it is to be taken
/// on and nobody wants it to end.
pub fn has_begun(observed: &Observed) -> bool {
    let is_new = observed.migration.status.as_ref().is_none_or(|status| {
        let fails = condition(&status.conditions, ConditionType::Succeeded)
            .is_some_and(|condition| condition.status == "False");
        matches!(status.phase, MigrationPhase::Pending | MigrationPhase::Preflight) && !fails
    });
    !is_new || observed.wants_cancel()
}

/// Decides what to do and what the status is to be when it has been done.
///
/// The same input gives the same decision. The phase never goes back, and never changes once it is final.
pub fn decide(observed: &Observed, now: Timestamp) -> Decision {
    let mut step = Step::new(observed, now);
    let phase = step.status.phase;
    if !step.status.legs.is_empty() {
        relay::decide(&mut step);
        return step.decided();
    }
    if step.is_failing() && !phase.is_final() {
        undo::decide(&mut step);
        return step.decided();
    }
    match phase {
        MigrationPhase::Pending => starting::accept(&mut step),
        MigrationPhase::Preflight => starting::check(&mut step),
        MigrationPhase::Preparing => preparing::decide(&mut step),
        MigrationPhase::Copying | MigrationPhase::Switching => moving::decide(&mut step),
        MigrationPhase::Finishing => finishing::decide(&mut step),
        MigrationPhase::Succeeded | MigrationPhase::Failed => step.release(),
    }
    step.decided()
}

/// The decision when the API server has refused the target pod for good (admission, quota, a name that is taken).
pub fn target_refused(observed: &Observed, message: &str, now: Timestamp) -> Decision {
    let mut step = Step::new(observed, now);
    step.fail(
        reason::TARGET_REFUSED,
        format!("the API server refused the target pod: {message}"),
    );
    step.decided()
}
