//! What a pod would notice of another node: what the agents have written about their nodes, compared. Pure.
//!
//! | file | its one idea |
//! |---|---|
//! | `compare` | two nodes' facts against each other: what differs, and whether that refuses |
//! | `avoid` | the nodes that the scheduler must not choose, as terms of the target pod's affinity |

mod avoid;
mod compare;

use godwit_crds::checks::CheckInfo;
use godwit_crds::{MemoryMode, NodeFacts};
use kube::ResourceExt;

use crate::facts::Observed;
use crate::known_node::KnownNode;

pub use avoid::Avoid;
pub use compare::{checks, compare};

/// Something that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlike {
    /// The check that it is a finding of.
    pub check: &'static CheckInfo,
    /// Stable reason.
    pub reason: &'static str,
    /// Whether the pod is not moved because of it; else it is a warning.
    pub refuses: bool,
    /// For people: names the nodes, the thing and the cure.
    pub message: String,
}

impl Unlike {
    /// Whether it keeps the pod from moving: it refuses, and nobody has accepted that.
    pub fn stands_in_the_way(&self, observed: &Observed) -> bool {
        let accepted = self.check.acceptable
            && observed
                .migration
                .spec
                .accept
                .iter()
                .any(|name| name == self.check.name);
        self.refuses && !accepted
    }
}

/// The node of the pod that is to move, to compare others with.
#[derive(Debug)]
pub struct Source<'a> {
    observed: &'a Observed,
    name: &'a str,
    facts: Option<&'a NodeFacts>,
    fills_in: bool,
}

impl<'a> Source<'a> {
    /// The node of that name, in the eyes of the migration that was observed.
    pub fn of(observed: &'a Observed, name: &'a str) -> Self {
        let node = observed.node(name);
        Self {
            observed,
            name,
            facts: node.and_then(|node| node.facts().ok()),
            fills_in: observed.migration.spec.memory != MemoryMode::StopAndCopy
                && node.is_some_and(compare::tracks),
        }
    }

    /// What differs at `node`; `None` if one of the two is not known.
    pub fn between(&self, node: &KnownNode) -> Option<Vec<Unlike>> {
        let source = self.facts?;
        let destination = node.facts().ok()?;
        Some(compare(
            (self.name, source),
            (&node.name_any(), destination),
            self.fills_in,
        ))
    }

    /// The first of these that keeps the pod from moving.
    pub fn first_obstacle(&self, unlike: &[Unlike]) -> Option<Unlike> {
        let mut unlike = unlike.iter();
        unlike.find(|it| it.stands_in_the_way(self.observed)).cloned()
    }

    /// The first thing that keeps the pod from moving to `node`.
    pub fn obstacle(&self, node: &KnownNode) -> Option<Unlike> {
        self.first_obstacle(&self.between(node)?)
    }
}
