//! What a pod is to itself and to the cluster stays, but for what has to be the target's own.

mod kept;
mod limits;
mod quota;

use super::Behaviour;

/// All of them.
pub const ALL: &[Behaviour] = &[kept::BEHAVIOUR, quota::NO_ROOM_FOR_TWO, limits::OUTSIDE];
