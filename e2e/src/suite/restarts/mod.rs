//! Agents and operator may be restarted at any time.

use super::Behaviour;

/// All of them.
pub const ALL: &[Behaviour] = &[];
