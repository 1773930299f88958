//! What moves, and arrives whole.

mod between;
mod containers;
mod files;
mod placement;
mod postgres;
mod programs;
mod redis;
mod snapshot;
mod twenty;

use super::Behaviour;

pub(super) use programs::fine;

/// All of them.
pub const ALL: &[Behaviour] = &[
    redis::BEHAVIOUR,
    twenty::BEHAVIOUR,
    containers::TOGETHER,
    containers::LATER_MEMORY,
    programs::ZOO,
    programs::ZOO_OF_A_USER,
    programs::SHARED_MEMORY,
    files::BEHAVIOUR,
    placement::SCHEDULER,
    placement::SELECTOR,
    postgres::BEHAVIOUR,
    between::STARTING,
    between::CALLING,
];
