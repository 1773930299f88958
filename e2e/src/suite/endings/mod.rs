//! What a migrated pod is afterwards: an ordinary pod.

use super::Behaviour;

/// All of them.
pub const ALL: &[Behaviour] = &[];
