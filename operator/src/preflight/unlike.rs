//! Checks that compare the source's node with the destination, or with every node that could be it.

use std::fmt::Write as _;

use godwit_crds::Verdict;
use godwit_crds::checks::nodes::NODES_KNOWN;
use kube::ResourceExt;

use super::Check;
use crate::facts::Observed;
use crate::known_node::KnownNode;
use crate::unlike::{self, Unlike};

const UNKNOWN: &str = "NodesUnknown";
/// Nodes that are named in one message.
const NAMED: usize = 5;

/// A node, and what differs there; `None` if that is not known.
pub(super) type Compared<'a> = (&'a KnownNode, Option<Vec<Unlike>>);

/// One check for each thing that was compared, of the nodes to which the pod may go; only the first where there was nothing to compare. A source
/// without a node has been refused before.
pub(super) fn checks(observed: &Observed, source_node: &str, destinations: &[Compared<'_>]) -> Vec<Check> {
    let Some(source) = observed.node(source_node) else {
        return Vec::new();
    };
    let mut checks = vec![known(source, destinations)];
    let compared = || destinations.iter().filter_map(|(_, unlike)| unlike.as_ref());
    if compared().next().is_some() {
        checks.extend(unlike::checks().map(|(check, reason)| {
            let found = compared().flatten();
            let found: Vec<&Unlike> = found.filter(|it| it.check.name == check.name).collect();
            result(check, reason, &found)
        }));
    }
    checks
}

/// Of several nodes the first is told, a refusal before a warning.
fn result(check: &'static godwit_crds::checks::CheckInfo, reason: &'static str, found: &[&Unlike]) -> Check {
    let refuses = found.iter().find(|it| it.refuses);
    let Some(told) = refuses.or(found.first()) else {
        return Check::pass(check, reason);
    };
    let mut message = told.message.clone();
    if found.len() > 1 {
        // Cannot fail for a string.
        let _ = write!(message, " (and {} more nodes)", found.len() - 1);
    }
    Check {
        name: check.name,
        verdict: if told.refuses {
            Verdict::Refuse
        } else {
            Verdict::Warn
        },
        reason,
        message,
        accepted: false,
    }
}

fn known(source: &KnownNode, destinations: &[Compared<'_>]) -> Check {
    let unknown = destinations.iter().filter(|(_, unlike)| unlike.is_none());
    let nodes = std::iter::once(source).chain(unknown.map(|(node, _)| *node));
    let unknown: Vec<&str> = nodes.filter_map(|node| node.facts().err()).collect();
    if unknown.is_empty() {
        return Check::pass(&NODES_KNOWN, UNKNOWN);
    }
    let more = match unknown.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let message = format!(
        "processors and kernels were not compared: {}{more}; bring the agents of these nodes up to date, or look at their logs",
        unknown[..unknown.len().min(NAMED)].join("; ")
    );
    Check::warn(&NODES_KNOWN, UNKNOWN, message)
}

/// Why a node cannot be used, in a list of nodes.
pub(super) fn told(unlike: &Unlike, node: &KnownNode) -> String {
    let accept = if unlike.check.acceptable {
        ", which spec.accept can take"
    } else {
        ""
    };
    let name = node.name_any();
    // Up to the cure, which is of one node and not of a list.
    let what = unlike.message.split("; ").next().unwrap_or_default();
    let what = what.strip_prefix(&format!("node {name} ")).unwrap_or(what);
    format!("{what} ({}{accept})", unlike.check.name)
}
