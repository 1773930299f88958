//! Nodes that differ: a named one is refused, others are not chosen, and what is not known is told.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which may")]

mod support;

use std::sync::Arc;

use godwit_crds::{MigrationPhase, NODE_FACTS_ANNOTATION, TargetSpec, Verdict};
use godwit_operator::decide::{Action, Decision, decide};
use godwit_operator::facts::Observed;
use godwit_operator::known_node::KnownNode;
use godwit_operator::node_selector::selects;
use godwit_operator::preflight::{self, Check};
use godwit_operator::relay;
use godwit_operator::unlike::Source;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};
use support::{FACTS, at, node, observed, pod};

const PAGES: &str = r#"{"pageSize": 65536}"#;
const POOR: &str = r#"{"cpu": "x86_64;sse2;xsave.size=832", "pageSize": 4096}"#;

/// A node with these facts (none: without) and this class.
fn unlike(name: &str, facts: Option<&str>, class: Option<&str>) -> Arc<KnownNode> {
    node(name, |node| {
        let metadata = &mut node["metadata"];
        metadata["annotations"] = facts.map_or(json!({}), |facts| json!({NODE_FACTS_ANNOTATION: facts}));
        let labels = metadata["labels"].as_object_mut().unwrap();
        labels.remove("godwit.dev/cpu-class");
        labels.extend(class.map(|class| ("godwit.dev/cpu-class".to_owned(), json!(class))));
    })
}

fn poor(name: &str) -> Arc<KnownNode> {
    unlike(name, Some(POOR), Some("poor"))
}

fn plain(name: &str) -> Arc<KnownNode> {
    node(name, |_| {})
}

fn among(nodes: Vec<Arc<KnownNode>>) -> Observed {
    let mut observed = observed();
    observed.nodes = nodes;
    observed
}

fn anywhere(nodes: Vec<Arc<KnownNode>>) -> Observed {
    let mut observed = among(nodes);
    observed.migration.spec.target = None;
    observed
}

fn check(observed: &Observed, name: &str) -> Check {
    let checks = preflight::run(observed);
    let found = checks.into_iter().find(|check| check.name == name);
    found.unwrap_or_else(|| panic!("{name} was not run"))
}

fn terms(observed: &Observed) -> Value {
    let target = relay::target(observed, observed.source.as_ref().unwrap());
    let affinity = serde_json::to_value(target.spec.unwrap().affinity).unwrap();
    affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"].clone()
}

fn not_in(key: &str, value: &str) -> Value {
    json!({"key": key, "operator": "NotIn", "values": [value]})
}

#[test]
fn a_named_node_with_a_poorer_processor_is_refused_by_what_it_lacks() {
    let observed = among(vec![plain("n1"), poor("n2")]);
    let status = decide(&observed, at(5)).status;
    assert_eq!(
        (status.phase, status.reason.as_deref()),
        (MigrationPhase::Failed, Some("CpuIncompatible"))
    );
    let message = status.message.unwrap();
    for word in [
        "n2 lacks avx2,",
        "class x86-64-v1.",
        "CpuIncompatible in spec.accept",
    ] {
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_poorer_processor_that_is_accepted_is_a_warning_and_is_not_kept_away_from() {
    let mut observed = among(vec![plain("n1"), poor("n2")]);
    observed.migration.spec.accept = vec!["CpuIncompatible".to_owned()];
    assert_eq!(check(&observed, "CpuIncompatible").verdict, Verdict::Warn);
    assert_eq!(decide(&observed, at(5)).status.phase, MigrationPhase::Preparing);
    observed.migration.spec.target = None;
    assert_eq!(check(&observed, "CpuIncompatible").verdict, Verdict::Warn);
    assert_eq!(
        terms(&observed),
        json!([{"matchFields": [not_in("metadata.name", "n1")]}])
    );
}

#[test]
fn what_no_one_can_accept_is_refused_whatever_is_accepted() {
    let mut observed = among(vec![plain("n1"), unlike("n2", Some(PAGES), None)]);
    observed.migration.spec.accept = vec!["NodePageSize".to_owned(), "CpuIncompatible".to_owned()];
    assert_eq!(
        decide(&observed, at(5)).status.reason.as_deref(),
        Some("PageSizeDiffers")
    );
}

#[test]
fn the_scheduler_is_kept_from_poorer_nodes_by_their_class() {
    let observed = anywhere(vec![plain("n1"), poor("n2"), poor("n4"), plain("n3")]);
    assert_eq!(check(&observed, "TargetNodes").verdict, Verdict::Pass);
    assert_eq!(check(&observed, "CpuIncompatible").verdict, Verdict::Pass);
    let class = not_in("godwit.dev/cpu-class", "poor");
    assert_eq!(
        terms(&observed),
        json!([{"matchFields": [not_in("metadata.name", "n1")], "matchExpressions": [class]}])
    );
}

#[test]
fn every_alternative_of_the_users_own_has_it_and_a_later_move_does_not_inherit_it() {
    let zone =
        |name: &str| json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": [name]}]});
    let mut observed = anywhere(vec![plain("n1"), poor("n2"), plain("n3")]);
    observed.source = Some(pod(|pod| {
        pod["spec"]["affinity"] = json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [zone("a"), zone("b")]}}});
    }));
    let class = not_in("godwit.dev/cpu-class", "poor");
    for term in terms(&observed).as_array().unwrap() {
        assert_eq!(term["matchExpressions"][1], class);
    }
    let target = relay::target(&observed, observed.source.as_ref().unwrap());
    let kept = &target.metadata.annotations.unwrap()["godwit.dev/affinity"];
    assert!(!kept.contains("cpu-class") && kept.contains("zone"), "{kept}");
}

#[test]
fn a_class_that_lies_or_is_missing_is_replaced_by_the_nodes_name() {
    let liar = unlike("n2", Some(POOR), Some("rich"));
    let without = unlike("n4", Some(POOR), None);
    let pages = unlike("n5", Some(PAGES), Some("pages"));
    let observed = anywhere(vec![plain("n1"), liar, plain("n3"), without, pages]);
    let fields: Vec<Value> = ["n1", "n2", "n4", "n5"]
        .map(|name| not_in("metadata.name", name))
        .into();
    assert_eq!(terms(&observed), json!([{"matchFields": fields}]));
}

#[test]
fn a_named_node_needs_no_further_terms() {
    let fields = json!([{"key": "metadata.name", "operator": "In", "values": ["n2"]}]);
    let observed = among(vec![plain("n1"), poor("n2")]);
    assert_eq!(terms(&observed), json!([{"matchFields": fields}]));
}

#[test]
fn without_a_node_that_is_like_it_every_one_is_named_with_what_it_lacks() {
    for target in [
        None,
        Some(TargetSpec {
            node_name: None,
            node_selector: Some([("zone".to_owned(), "n2".to_owned())].into()),
        }),
    ] {
        let mut observed = among(vec![plain("n1"), poor("n2")]);
        observed.migration.spec.target = target;
        let check = check(&observed, "TargetNodes");
        assert_eq!(check.verdict, Verdict::Refuse);
        for word in [
            "n2: the processor of node n2 lacks avx2",
            "CpuIncompatible, which spec.accept can take",
        ] {
            assert!(check.message.contains(word), "{}", check.message);
        }
        observed.migration.spec.accept = vec!["CpuIncompatible".to_owned()];
        assert_eq!(decide(&observed, at(5)).status.phase, MigrationPhase::Preparing);
    }
}

#[test]
fn a_node_that_is_not_known_is_named_and_used() {
    for facts in [None, Some("nonsense"), Some("{\"pageSize\": \"x\"}")] {
        let named = among(vec![plain("n1"), unlike("n2", facts, None)]);
        let any = anywhere(vec![plain("n1"), unlike("n2", facts, None), poor("n3")]);
        let source = among(vec![unlike("n1", facts, None), poor("n2")]);
        for (observed, name) in [(&named, "n2"), (&any, "n2"), (&source, "n1")] {
            let check = check(observed, "NodesKnown");
            assert_eq!(check.verdict, Verdict::Warn);
            assert!(check.message.contains(name), "{}", check.message);
            assert_eq!(decide(observed, at(5)).status.phase, MigrationPhase::Preparing);
        }
        assert!(terms(&any).to_string().contains("poor"));
    }
    assert_eq!(check(&observed(), "NodesKnown").verdict, Verdict::Pass);
}

/// The target pod has been bound to n2 and parks there.
fn parked(n2: Arc<KnownNode>) -> Decision {
    let mut observed = anywhere(vec![plain("n1"), n2]);
    let status = observed.migration.status.as_mut().unwrap();
    status.phase = MigrationPhase::Preparing;
    let mut target = relay::target(&observed, observed.source.as_ref().unwrap());
    target.metadata.uid = Some("target-uid".to_owned());
    target.metadata.creation_timestamp = Some(at(1).into());
    target.spec.as_mut().unwrap().node_name = Some("n2".to_owned());
    let parking = json!({"phase": "Pending", "initContainerStatuses": [{
        "name": "godwit-park-0", "image": "x", "imageID": "x", "ready": false, "restartCount": 0,
        "state": {"running": {"startedAt": at(3).to_string()}},
    }]});
    target.status = Some(serde_json::from_value(parking).unwrap());
    observed.target = Some(target);
    decide(&observed, at(5))
}

#[test]
fn a_node_that_joined_since_is_compared_when_the_target_pod_is_bound_to_it() {
    assert_eq!(parked(plain("n2")).status.phase, MigrationPhase::Copying);
    assert_eq!(
        parked(unlike("n2", None, None)).status.phase,
        MigrationPhase::Copying
    );
    let decision = parked(poor("n2"));
    assert_eq!(decision.status.phase, MigrationPhase::Preparing);
    assert_eq!(decision.status.reason.as_deref(), Some("CpuIncompatible"));
    assert!(decision.status.message.unwrap().contains("bound to n2"));
    assert!(
        !decision
            .actions
            .iter()
            .any(|action| matches!(action, Action::CreateTarget(_)))
    );
}

proptest! {
    /// Whatever agents and others have written: the scheduler can choose a node if and only if the operator would not refuse it.
    #[test]
    fn the_scheduler_and_the_operator_agree(
        nodes in vec((select(vec![Some(FACTS), Some(POOR), Some(PAGES), Some("{}"), Some("garbage"), None]), select(vec![Some("rich"), Some("poor"), None])), 0..12),
        accept in any::<bool>(),
    ) {
        let mut all = vec![plain("n1")];
        all.extend(nodes.iter().enumerate().map(|(number, (facts, class))| unlike(&format!("m{number}"), *facts, *class)));
        let mut observed = anywhere(all);
        if accept {
            observed.migration.spec.accept = vec!["CpuIncompatible".to_owned()];
        }
        let selector = serde_json::from_value(json!({"nodeSelectorTerms": terms(&observed)})).unwrap();
        let source = Source::of(&observed, "n1");
        for node in &observed.nodes[1..] {
            let refused = source.obstacle(node).is_some();
            prop_assert_eq!(selects(&selector, node), !refused, "{:?}", node.metadata);
        }
    }
}

#[test]
fn the_facts_of_the_tests_are_facts() {
    for facts in [FACTS, POOR, PAGES] {
        assert!(godwit_crds::NodeFacts::from_annotation(facts).is_ok());
    }
}
