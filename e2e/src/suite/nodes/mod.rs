//! Nodes that differ. All nodes of the cluster are one machine: agents that are built for tests say that one of them is poorer.

mod fake;
mod poorer;

use super::Behaviour;

/// All of them.
pub const ALL: &[Behaviour] = &[poorer::BEHAVIOUR];
