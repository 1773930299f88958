//! A node with what its agent has written about it.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use godwit_crds::{NODE_FACTS_ANNOTATION, NodeFacts};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;

/// A node as it was observed. Its facts are read when they are first asked for, and once: a report of nodes asks for those of thousands of nodes
/// for each of thousands of pods.
#[derive(Debug)]
pub struct KnownNode {
    node: Node,
    facts: OnceLock<Result<NodeFacts, String>>,
}

impl KnownNode {
    /// The node, to be shared by all who look at it.
    pub fn shared(node: Node) -> Arc<Self> {
        Arc::new(Self {
            node,
            facts: OnceLock::new(),
        })
    }

    /// What the agent has written about the node. Fails, with why, where there is nothing or nothing that can be read.
    pub fn facts(&self) -> Result<&NodeFacts, &str> {
        let facts = self.facts.get_or_init(|| read(&self.node));
        facts.as_ref().map_err(String::as_str)
    }
}

impl Deref for KnownNode {
    type Target = Node;

    fn deref(&self) -> &Node {
        &self.node
    }
}

fn read(node: &Node) -> Result<NodeFacts, String> {
    let name = node.name_any();
    let Some(text) = node.annotations().get(NODE_FACTS_ANNOTATION) else {
        return Err(format!("{name} has no annotation {NODE_FACTS_ANNOTATION}"));
    };
    NodeFacts::from_annotation(text).map_err(|error| {
        // What was written is anybody's: it is not repeated here.
        format!("{name}'s annotation {NODE_FACTS_ANNOTATION} is {error}")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts(annotations: &serde_json::Value) -> Result<NodeFacts, String> {
        let node = json!({"metadata": {"name": "n2", "annotations": annotations}});
        let node = KnownNode::shared(serde_json::from_value(node).unwrap());
        let facts = node.facts().cloned().map_err(str::to_owned);
        assert_eq!(facts.as_ref().err().map(String::as_str), node.facts().err());
        facts
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_node_and_not_repeated() {
        assert!(facts(&json!({})).unwrap_err().contains("n2 has no annotation"));
        for text in ["<script>", "[]x", &"x".repeat(1 << 20)] {
            let why = facts(&json!({NODE_FACTS_ANNOTATION: text})).unwrap_err();
            assert!(why.starts_with("n2's annotation") && why.len() < 200, "{why}");
        }
        assert_eq!(
            facts(&json!({NODE_FACTS_ANNOTATION: "{\"pageSize\": 4096}"}))
                .unwrap()
                .page_size,
            Some(4096)
        );
    }
}
