//! Where the target pod may go: the user's own affinity, and the migration's target on top of it.

use std::collections::BTreeMap;

use godwit_crds::TargetSpec;
use k8s_openapi::api::core::v1::{Affinity, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};

/// The affinity of the target pod: the user's, and on each alternative of it
/// - the named node; or the given labels and any node but the source's; or any node but the source's.
pub(super) fn affinity(own: Option<Affinity>, target: Option<&TargetSpec>, source_node: &str) -> Affinity {
    let (fields, expressions) = match target {
        Some(TargetSpec {
            node_name: Some(node),
            ..
        }) => (by_name("In", node), Vec::new()),
        Some(TargetSpec {
            node_selector: Some(labels),
            ..
        }) => (by_name("NotIn", source_node), by_labels(labels)),
        Some(TargetSpec {
            node_name: None,
            node_selector: None,
        })
        | None => (by_name("NotIn", source_node), Vec::new()),
    };
    let mut affinity = own.unwrap_or_default();
    let node_affinity = affinity.node_affinity.get_or_insert_default();
    let required = node_affinity
        .required_during_scheduling_ignored_during_execution
        .get_or_insert_default();
    // Terms are alternatives: the migration's part has to be in each of them.
    let terms = std::mem::take(&mut required.node_selector_terms);
    let terms = if terms.is_empty() {
        vec![NodeSelectorTerm::default()]
    } else {
        terms
    };
    *required = NodeSelector {
        node_selector_terms: terms
            .into_iter()
            .map(|mut term| {
                term.match_fields.get_or_insert_default().push(fields.clone());
                if !expressions.is_empty() {
                    term.match_expressions
                        .get_or_insert_default()
                        .extend(expressions.iter().cloned());
                }
                term
            })
            .collect(),
    };
    affinity
}

fn by_name(operator: &str, node: &str) -> NodeSelectorRequirement {
    NodeSelectorRequirement {
        key: "metadata.name".to_owned(),
        operator: operator.to_owned(),
        values: Some(vec![node.to_owned()]),
    }
}

fn by_labels(labels: &BTreeMap<String, String>) -> Vec<NodeSelectorRequirement> {
    labels
        .iter()
        .map(|(key, value)| NodeSelectorRequirement {
            key: key.clone(),
            operator: "In".to_owned(),
            values: Some(vec![value.clone()]),
        })
        .collect()
}
