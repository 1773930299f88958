//! Whether a node is one that a node selector means: as the scheduler decides it (kubernetes component-helpers, `scheduling/corev1/nodeaffinity`).

use k8s_openapi::api::core::v1::{Node, NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};
use kube::ResourceExt;

/// The one field that a term may name.
const NAME: &str = "metadata.name";

/// True if one of the selector's terms is met in full. A term that asks for nothing is never met.
pub fn selects(selector: &NodeSelector, node: &Node) -> bool {
    selector.node_selector_terms.iter().any(|term| is_met(term, node))
}

fn is_met(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = || term.match_expressions.iter().flatten();
    let fields = || term.match_fields.iter().flatten();
    let asks = expressions().next().is_some() || fields().next().is_some();
    let name = node.name_any();
    asks && expressions().all(|it| holds(it, node.labels().get(&it.key).map(String::as_str)))
        && fields().all(|it| it.key == NAME && holds(it, Some(&name)))
}

fn holds(requirement: &NodeSelectorRequirement, found: Option<&str>) -> bool {
    let values = || requirement.values.iter().flatten();
    let is_listed = found.is_some_and(|found| values().any(|value| value == found));
    let compared = || {
        let wanted: i64 = values().next()?.parse().ok()?;
        Some((found?.parse::<i64>().ok()?, wanted))
    };
    match requirement.operator.as_str() {
        "In" => is_listed,
        "NotIn" => !is_listed,
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => compared().is_some_and(|(found, wanted)| found > wanted),
        "Lt" => compared().is_some_and(|(found, wanted)| found < wanted),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn selects_it(terms: &Value) -> bool {
        let node = json!({"metadata": {"name": "n1", "labels": {"zone": "a", "size": "8"}}});
        let selector = json!({"nodeSelectorTerms": terms});
        selects(
            &serde_json::from_value(selector).unwrap(),
            &serde_json::from_value(node).unwrap(),
        )
    }

    #[test]
    fn every_operator_is_understood() {
        for (key, operator, values, met) in [
            ("zone", "In", json!(["b", "a"]), true),
            ("zone", "In", json!(["b"]), false),
            ("zone", "NotIn", json!(["b"]), true),
            ("other", "NotIn", json!(["b"]), true),
            ("zone", "Exists", json!([]), true),
            ("other", "Exists", json!([]), false),
            ("other", "DoesNotExist", json!([]), true),
            ("size", "Gt", json!(["7"]), true),
            ("size", "Gt", json!(["8"]), false),
            ("size", "Lt", json!(["9"]), true),
            ("zone", "Lt", json!(["9"]), false),
            ("zone", "Near", json!(["a"]), false),
        ] {
            let terms = json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]);
            assert_eq!(selects_it(&terms), met, "{terms}");
        }
    }

    #[test]
    fn terms_are_alternatives_and_an_empty_one_means_no_node() {
        let by_name =
            |name: &str| json!({"matchFields": [{"key": NAME, "operator": "In", "values": [name]}]});
        assert!(selects_it(&json!([by_name("n2"), by_name("n1")])));
        assert!(!selects_it(&json!([by_name("n2"), {}])));
        let mut both = by_name("n1");
        both["matchExpressions"] = json!([{"key": "zone", "operator": "In", "values": ["b"]}]);
        assert!(!selects_it(&json!([both])));
    }
}
