//! What moves, and arrives whole.

mod redis;

use super::Behaviour;

/// All of them.
pub const ALL: &[Behaviour] = &[redis::BEHAVIOUR];
