//! What a pod would notice of another node: what the agents have written about their nodes, compared. Pure.
//!
//! | file | its one idea |
//! |---|---|
//! | `compare` | two nodes' facts against each other: what differs, and whether that refuses |
//! | `known` | the facts of a node, or why they are not known |
//! | `avoid` | the nodes that the scheduler must not choose, as terms of the target pod's affinity |

mod avoid;
mod compare;
mod known;

use godwit_crds::MemoryMode;
use godwit_crds::checks::CheckInfo;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;

use crate::facts::Observed;

pub use avoid::Avoid;
pub use compare::{CHECKS, compare};
pub use known::facts_of;

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

/// What differs at `node` from the node of that name; `None` if one of them is not known.
pub fn between(observed: &Observed, source_node: &str, node: &Node) -> Option<Vec<Unlike>> {
    let source = facts_of(observed.node(source_node)?).ok()?;
    let destination = facts_of(node).ok()?;
    let fills_in = observed.migration.spec.memory != MemoryMode::StopAndCopy
        && compare::tracks(observed.node(source_node)?);
    Some(compare(
        (source_node, &source),
        (&node.name_any(), &destination),
        fills_in,
    ))
}

/// The first thing that keeps a pod of the node of that name from moving to `node`.
pub fn obstacle(observed: &Observed, source_node: &str, node: &Node) -> Option<Unlike> {
    let mut unlike = between(observed, source_node, node)?.into_iter();
    unlike.find(|it| it.stands_in_the_way(observed))
}
