//! The facts of a node.

use godwit_crds::{NODE_FACTS_ANNOTATION, NodeFacts};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;

/// What the agent has written about a node. Fails, with why, where there is nothing or nothing that can be read.
pub fn facts_of(node: &Node) -> Result<NodeFacts, String> {
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

    fn read(annotations: &serde_json::Value) -> Result<NodeFacts, String> {
        let node = json!({"metadata": {"name": "n2", "annotations": annotations}});
        facts_of(&serde_json::from_value(node).unwrap())
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_node_and_not_repeated() {
        assert!(read(&json!({})).unwrap_err().contains("n2 has no annotation"));
        for text in ["<script>", "[]x", &"x".repeat(1 << 20)] {
            let why = read(&json!({NODE_FACTS_ANNOTATION: text})).unwrap_err();
            assert!(why.starts_with("n2's annotation") && why.len() < 200, "{why}");
        }
        assert_eq!(
            read(&json!({NODE_FACTS_ANNOTATION: "{\"pageSize\": 4096}"}))
                .unwrap()
                .page_size,
            Some(4096)
        );
    }
}
