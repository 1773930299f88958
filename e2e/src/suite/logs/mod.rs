//! What `kubectl logs` shows of a pod that has moved.

mod kubectl;
mod long;
mod missing;
mod numbers;
mod once;
mod rotated;
mod sessions;
mod untouched;

use super::Behaviour;

/// All of them.
pub const ALL: &[Behaviour] = &[
    once::BEHAVIOUR,
    untouched::BEHAVIOUR,
    missing::BEHAVIOUR,
    long::BEHAVIOUR,
    rotated::BEHAVIOUR,
    sessions::BEHAVIOUR,
];
