//! Whatever goes wrong before the commit, the source runs on.

pub(super) mod agents;
pub(super) mod fault;
pub(super) mod link;
pub(super) mod steps;
pub(super) mod subject;
pub(super) mod traces;
pub(super) mod witness;

mod called_off;
mod dump;
mod memory;
mod parked;
mod restore;
mod stopped;

use super::Behaviour;

/// All of them.
pub const ALL: &[Behaviour] = &[
    steps::AT_THE_SOURCE,
    steps::AT_THE_TARGET,
    called_off::CANCELLED,
    called_off::DELETED,
    parked::KILLED,
    restore::KILLED,
    dump::REFUSED_BY_CRIU,
    stopped::BEHAVIOUR,
    memory::FULL,
    memory::FULL_SOURCE,
    link::CUT,
];
