//! What the agents have found on their nodes, and how long they may take to say so.

use std::time::Duration;

use godwit_crds::checks::operator;
use godwit_crds::{CheckResult, SourceState};

use super::{Check, accept};
use crate::facts::Observed;

/// An agent looks within tens of milliseconds. One that is being started takes some seconds; one that is not there should not be
/// waited for longer than a user waits for an answer.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// One check of an agent, as `spec.accept` would have it.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    /// As the agent says it, or as a warning.
    pub result: CheckResult,
    /// Whether this was a refusal, which `spec.accept` has made a warning.
    pub accepted: bool,
}

/// What the source's agent says; `None` if it has not looked yet.
pub fn source(observed: &Observed) -> Option<Vec<Told>> {
    let report = observed.migration.status.as_ref()?.source.as_ref()?;
    // There is always a check that was run: a report without is one that the API server did not take whole.
    if report.state != SourceState::Looked || report.preflight.is_empty() {
        return None;
    }
    let accept = &observed.migration.spec.accept;
    let told = report.preflight.iter().cloned().map(|mut result| {
        let accepted = accept::apply(accept, &result.check, &mut result.verdict, &mut result.message);
        Told { result, accepted }
    });
    Some(told.collect())
}

/// The check that the source's agent, on that node, has answered in time.
pub fn answered(node: &str, answered: bool) -> Check {
    let finding = (!answered).then(|| {
        format!(
            "the agent on node {node} has not looked at the pod within {} s; look at the godwit-agent pod of that node, and try again",
            ANSWER_WITHIN.as_secs()
        )
    });
    Check::from_finding(&operator::SOURCE_AGENT_ANSWERS, "SourceAgentSilent", finding)
}
