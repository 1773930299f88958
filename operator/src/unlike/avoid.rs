//! The nodes that the scheduler must not choose for a target pod.
//!
//! Those of another processor are told by their class: there is a class for each kind of machine, however many nodes there are, and the agent sets
//! it together with the label without which the `RuntimeClass` chooses no node. It must not be *among* the source's compatible classes, for a
//! node that nobody has compared yet must not be out of reach for ever; whatever node is chosen is compared once more before anything is copied.

use std::collections::BTreeSet;

use godwit_crds::CPU_CLASS_LABEL;
use godwit_crds::checks::cpu::CPU_INCOMPATIBLE;
use k8s_openapi::api::core::v1::{Affinity, NodeSelectorRequirement, NodeSelectorTerm};
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use kube::ResourceExt;

use super::Source;
use crate::facts::Observed;
use crate::known_node::KnownNode;

/// Most nodes and classes that a pod names. What is beyond is found out when the pod is bound to such a node.
const LIMIT: usize = 64;

/// What the target pod must keep away from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Avoid {
    /// Classes of processors.
    classes: BTreeSet<String>,
    /// Nodes.
    names: BTreeSet<String>,
}

impl Avoid {
    /// Of the nodes that were observed, those to which a pod of that node must not go. Empty if a node is named: it alone is in question.
    pub fn of(observed: &Observed, source_node: &str) -> Self {
        let target = observed.migration.spec.target.as_ref();
        if target.is_some_and(|target| target.node_name.is_some()) {
            return Self::default();
        }
        let source = Source::of(observed, source_node);
        let (mut unlike, mut like) = (Vec::new(), BTreeSet::new());
        for node in observed
            .nodes
            .iter()
            .filter(|node| node.name_any() != source_node)
        {
            match source.obstacle(node) {
                Some(obstacle) => unlike.push((node, obstacle)),
                None => like.extend(class_of(node)),
            }
        }
        let mut avoid = Self::default();
        for (node, obstacle) in unlike {
            // A class that is not what the node is (somebody else has written it) may be that of a node that will do.
            let class = class_of(node)
                .filter(|class| obstacle.check.name == CPU_INCOMPATIBLE.name && !like.contains(class));
            match class {
                Some(class) => avoid.classes.insert(class.to_owned()),
                None => avoid.names.insert(node.name_any()),
            };
        }
        avoid
    }

    /// Adds it to each alternative of what a pod requires of its node.
    pub fn apply(&self, pod: &mut Pod) {
        if self.classes.is_empty() && self.names.is_empty() {
            return;
        }
        let spec: &mut PodSpec = pod.spec.get_or_insert_default();
        let affinity: &mut Affinity = spec.affinity.get_or_insert_default();
        let of_nodes = affinity.node_affinity.get_or_insert_default();
        let required = of_nodes
            .required_during_scheduling_ignored_during_execution
            .get_or_insert_default();
        if required.node_selector_terms.is_empty() {
            required.node_selector_terms.push(NodeSelectorTerm::default());
        }
        for term in &mut required.node_selector_terms {
            self.extend(term);
        }
    }

    fn extend(&self, term: &mut NodeSelectorTerm) {
        if !self.classes.is_empty() {
            let classes = self.classes.iter().take(LIMIT).cloned();
            let expressions = term.match_expressions.get_or_insert_default();
            expressions.push(not_in(CPU_CLASS_LABEL, classes.collect()));
        }
        if !self.names.is_empty() {
            // The API server takes one value for each (kubernetes pkg/apis/core/validation, `ValidateNodeFieldSelectorRequirement`).
            let names = self
                .names
                .iter()
                .take(LIMIT)
                .map(|name| not_in("metadata.name", vec![name.clone()]));
            term.match_fields.get_or_insert_default().extend(names);
        }
    }
}

fn class_of(node: &KnownNode) -> Option<&str> {
    node.labels().get(CPU_CLASS_LABEL).map(String::as_str)
}

fn not_in(key: &str, values: Vec<String>) -> NodeSelectorRequirement {
    NodeSelectorRequirement {
        key: key.to_owned(),
        operator: "NotIn".to_owned(),
        values: Some(values),
    }
}
