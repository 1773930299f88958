//! What comes after a migration, and without Godwit.

mod agents_away;
mod cold_restart;

use super::Behaviour;

/// All of them.
pub const ALL: &[Behaviour] = &[cold_restart::ORDINARY, agents_away::PODS_START];
