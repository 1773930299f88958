//! What is known before anything is made: by the operator, and by the source's agent from a look at the running pod.

mod accepted;
mod bind_now;
mod budget;
mod dry_run;
mod library;
mod report;
mod silent;

use super::Behaviour;

/// All of them.
pub const ALL: &[Behaviour] = &[
    dry_run::MOVABLE,
    dry_run::IMMOVABLE,
    accepted::BEHAVIOUR,
    silent::BEHAVIOUR,
    library::BEHAVIOUR,
    bind_now::BEHAVIOUR,
    budget::TOO_SMALL,
    budget::OVERRUN,
    report::BEHAVIOUR,
];
