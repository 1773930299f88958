//! Volumes whose content is the pod's own.

mod broken;
mod claimed;
mod counter;
mod full;
mod host_path;
mod many;
mod refused;
mod share;
mod shared;
mod subject;
mod tree;

use super::Behaviour;

/// All of them.
pub const ALL: &[Behaviour] = &[
    shared::BEHAVIOUR,
    counter::BEHAVIOUR,
    tree::BEHAVIOUR,
    many::BEHAVIOUR,
    refused::BEHAVIOUR,
    host_path::BEHAVIOUR,
    full::BEHAVIOUR,
    broken::BEHAVIOUR,
    claimed::GOES_ON,
    claimed::LOCKED,
    claimed::REFUSED,
];
