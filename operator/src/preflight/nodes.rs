//! Checks that look at nodes and at other migrations.

use std::collections::BTreeMap;
use std::sync::Arc;

use godwit_crds::checks::operator;
use godwit_crds::{AGENT_READY_LABEL, MigrationPhase, PodMigration, TargetSpec};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{Check, unlike};
use crate::facts::{self, Observed};
use crate::known_node::KnownNode;
use crate::relay;
use crate::unlike::Source;

/// Of two migrations of one pod the older one goes ahead, and one that is under way always.
pub(super) fn another_migration(observed: &Observed) -> Check {
    let mine = &observed.migration;
    let in_the_way = observed.others.iter().find(|other| {
        let phase = other
            .status
            .as_ref()
            .map_or(MigrationPhase::Pending, |status| status.phase);
        let is_other = other.metadata.uid != mine.metadata.uid
            // It moves nothing.
            && !other.spec.dry_run;
        // A leg's parent has gone ahead already, and is under way with it.
        let goes_ahead = match observed.role.parent() {
            Some(parent) => is_under_way(phase) && !is_of(other, parent),
            None => is_under_way(phase) || is_older(other, mine),
        };
        is_other && !phase.is_final() && goes_ahead
    });
    let finding = in_the_way.map(|other| {
        format!(
            "migration {} of the same pod is under way; wait for it, or cancel it",
            other.name_any()
        )
    });
    Check::from_finding(&operator::NO_OTHER_MIGRATION, "AnotherMigrationOfPod", finding)
}

/// True for the migration with that UID and for its legs.
fn is_of(other: &PodMigration, parent: &str) -> bool {
    other.metadata.uid.as_deref() == Some(parent)
        || relay::parent_reference(other).is_some_and(|reference| reference.uid == parent)
}

fn is_older(other: &PodMigration, mine: &PodMigration) -> bool {
    facts::age_order(other) < facts::age_order(mine)
}

fn is_under_way(phase: MigrationPhase) -> bool {
    !matches!(phase, MigrationPhase::Pending | MigrationPhase::Preflight) && !phase.is_final()
}

/// The source's node, then the destination as the spec gives it.
pub(super) fn checks(observed: &Observed, source: &Pod) -> Vec<Check> {
    let source_node = source
        .spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .unwrap_or_default();
    // A stand-in goes home where it is.
    let may_stay = relay::is_stand_in(source);
    let but = if may_stay { "" } else { source_node };
    let mut checks = vec![Check::from_finding(
        &operator::SOURCE_NODE_AGENT,
        "SourceNodeNotReady",
        source_finding(observed, source_node),
    )];
    match &observed.migration.spec.target {
        Some(TargetSpec {
            node_name: Some(target),
            ..
        }) => {
            checks.extend(named_target(observed, source_node, target, may_stay));
            let source = Source::of(observed, source_node);
            let destination = observed.node(target);
            let destination: Vec<_> = destination
                .map(|node| (node, source.between(node)))
                .into_iter()
                .collect();
            checks.extend(unlike::checks(observed, source_node, &destination));
        }
        Some(TargetSpec {
            node_selector: Some(labels),
            ..
        }) => {
            checks.extend(any_target(
                observed,
                (source_node, but),
                labels,
                "spec.target.nodeSelector matches no node that can be used",
            ));
        }
        Some(TargetSpec {
            node_name: None,
            node_selector: None,
        })
        | None => {
            checks.extend(any_target(
                observed,
                (source_node, but),
                &BTreeMap::new(),
                "no other node can be used",
            ));
        }
    }
    checks
}

fn source_finding(observed: &Observed, name: &str) -> Option<String> {
    let Some(node) = observed.node(name) else {
        return Some(format!("the pod's node {name} has no Node object"));
    };
    if !facts::is_node_ready(node) {
        return Some(format!(
            "the pod's node {name} is not Ready; bring its kubelet back first"
        ));
    }
    if !facts::has_agent(node) {
        return Some(no_agent(name));
    }
    facts::internal_ip(node)
        .is_none()
        .then(|| format!("the pod's node {name} has no InternalIP"))
}

fn named_target(observed: &Observed, source_node: &str, target: &str, may_stay: bool) -> Vec<Check> {
    let Some(node) = observed.node(target) else {
        let missing = format!("there is no node {target}; set spec.target.nodeName to a node of the cluster");
        return vec![Check::from_finding(
            &operator::TARGET_NODE_EXISTS,
            "TargetNodeNotFound",
            Some(missing),
        )];
    };
    let check = |name, reason, found: bool, message: String| {
        Check::from_finding(name, reason, found.then_some(message))
    };
    vec![
        Check::pass(&operator::TARGET_NODE_EXISTS, "TargetNodeNotFound"),
        check(
            &operator::TARGET_NODE_DIFFERS,
            "TargetIsSource",
            target == source_node && !may_stay,
            format!("the pod is on {target} already"),
        ),
        check(
            &operator::TARGET_NODE_READY,
            "TargetNodeNotReady",
            !facts::is_node_ready(node),
            format!("node {target} is not Ready; bring its kubelet back or choose another"),
        ),
        check(
            &operator::TARGET_NODE_SCHEDULABLE,
            "TargetNodeCordoned",
            facts::is_cordoned(node),
            format!("node {target} is cordoned; uncordon it or choose another"),
        ),
        check(
            &operator::TARGET_NODE_AGENT,
            "TargetNodeWithoutAgent",
            !facts::has_agent(node),
            no_agent(target),
        ),
        Check::from_finding(
            &operator::TARGET_NODE_VOLUMES,
            "VolumeNotOnNode",
            claim_elsewhere(observed, node).map(|claim| {
                format!("node {target} cannot mount the volume of claim {claim}, by its node affinity; choose another")
            }),
        ),
    ]
}

/// `source`: the node of the pod, and the one that is out of the question for it.
fn any_target(
    observed: &Observed,
    (source_node, but): (&str, &str),
    labels: &BTreeMap<String, String>,
    otherwise: &str,
) -> Vec<Check> {
    let source = Source::of(observed, source_node);
    let mut why_not = Vec::new();
    let mut usable = Vec::new();
    for node in observed.nodes.iter().map(Arc::as_ref).filter(|node| {
        labels
            .iter()
            .all(|(key, value)| node.labels().get(key) == Some(value))
    }) {
        let mut why = obstacle(observed, node, but).map(str::to_owned);
        if why.is_none() {
            let found = source.between(node);
            let first = found.as_ref().and_then(|found| source.first_obstacle(found));
            match first {
                Some(first) => why = Some(unlike::told(&first, node)),
                None => usable.push((node, found)),
            }
        }
        if let Some(why) = why {
            why_not.push(format!("{}: {why}", node.name_any()));
        }
    }
    if !usable.is_empty() {
        let mut checks = vec![Check::pass(&operator::TARGET_NODES, "NoUsableNode")];
        checks.extend(unlike::checks(observed, source_node, &usable));
        return checks;
    }
    let more = why_not.len().saturating_sub(5);
    why_not.truncate(5);
    let list = if why_not.is_empty() {
        String::new()
    } else {
        format!(" ({})", why_not.join("; "))
    };
    let more = if more == 0 {
        String::new()
    } else {
        format!(" and {more} more")
    };
    let message = format!("{otherwise}{list}{more}");
    vec![Check::from_finding(
        &operator::TARGET_NODES,
        "NoUsableNode",
        Some(message),
    )]
}

/// A claim of the pod whose volume the node cannot have.
fn claim_elsewhere<'a>(observed: &'a Observed, node: &KnownNode) -> Option<&'a str> {
    let mut claims = observed.claims.iter();
    claims
        .find(|claim| !claim.is_for(node))
        .map(|claim| claim.name.as_str())
}

fn obstacle(observed: &Observed, node: &KnownNode, source_node: &str) -> Option<&'static str> {
    if node.name_any() == source_node {
        Some("the pod is there already")
    } else if !facts::is_node_ready(node) {
        Some("not Ready")
    } else if facts::is_cordoned(node) {
        Some("cordoned")
    } else if !facts::has_agent(node) {
        Some("no agent ready")
    } else if claim_elsewhere(observed, node).is_some() {
        Some("cannot mount a volume of the pod")
    } else {
        None
    }
}

fn no_agent(node: &str) -> String {
    format!(
        "no agent says that node {node} can take part ({AGENT_READY_LABEL}=true); look at the godwit-agent pod of that node"
    )
}
