//! What is refused, with a clear reason and the source untouched.

use super::Behaviour;

/// All of them.
pub const ALL: &[Behaviour] = &[];
