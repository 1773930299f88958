//! What the operator checks before anything is touched. Each check is in the list of all checks ([`godwit_crds::checks`]), and a
//! refusal says what to change. What the source's agent has found is merged in by [`agents`].

mod accept;
mod admission;
pub mod agents;
mod containers;
mod memory;
mod nodes;
mod owner;
mod pod;
mod probes;
mod unlike;
mod volumes;

use godwit_crds::checks::{CheckInfo, operator};
use godwit_crds::{CheckResult, Verdict};

use crate::facts::Observed;

pub(crate) use probes::liveness_allows;

/// One check and what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Stable name of the check.
    pub name: &'static str,
    /// Outcome.
    pub verdict: Verdict,
    /// Stable reason of a failure for this check.
    pub reason: &'static str,
    /// What was found and what would cure it; empty when it passed.
    pub message: String,
    /// Whether this was a refusal, which `spec.accept` has made a warning.
    pub accepted: bool,
}

impl Check {
    /// The check as it is shown in the status.
    pub fn result(&self) -> CheckResult {
        CheckResult {
            check: self.name.to_owned(),
            verdict: self.verdict,
            message: self.message.clone(),
        }
    }

    fn pass(check: &CheckInfo, reason: &'static str) -> Self {
        Self {
            name: check.name,
            verdict: Verdict::Pass,
            reason,
            message: String::new(),
            accepted: false,
        }
    }

    fn warn(check: &CheckInfo, reason: &'static str, message: String) -> Self {
        Self {
            name: check.name,
            verdict: Verdict::Warn,
            reason,
            message,
            accepted: false,
        }
    }

    /// Refuses if something was found, passes otherwise.
    fn from_finding(check: &CheckInfo, reason: &'static str, finding: Option<String>) -> Self {
        match finding {
            Some(message) => Self {
                name: check.name,
                verdict: Verdict::Refuse,
                reason,
                message,
                accepted: false,
            },
            None => Self::pass(check, reason),
        }
    }
}

/// True for a warning that something of the pod will not be there after the move, or that a refusal was accepted: worth an event, not only
/// a line in the status.
pub fn is_loss(check: &Check) -> bool {
    check.verdict == Verdict::Warn && (containers::LOSSES.contains(&check.name) || check.accepted)
}

/// All checks of the operator, as `spec.accept` would have them, in an order in which the first refusal is the one to act on. A pod that is not there has one check only.
pub fn run(observed: &Observed) -> Vec<Check> {
    let name = &observed.migration.spec.pod_name;
    let Some(source) = &observed.source else {
        let missing =
            format!("there is no pod {name} in this namespace; set spec.podName to a pod that is running");
        return vec![Check::from_finding(
            &operator::POD_EXISTS,
            "PodNotFound",
            Some(missing),
        )];
    };
    let mut checks = vec![Check::pass(&operator::POD_EXISTS, "PodNotFound")];
    checks.extend(pod::checks(source));
    checks.extend(containers::checks(observed, source));
    checks.push(probes::liveness(observed, source));
    checks.push(owner::check(observed, source));
    checks.push(volumes::check(source, &observed.claims));
    checks.extend(nodes::checks(observed, source));
    checks.push(memory::tracking(observed, source));
    checks.push(memory::filled(observed));
    checks.push(admission::check(observed));
    // Last: what is wrong with this migration itself is the better answer.
    checks.push(nodes::another_migration(observed));
    for check in &mut checks {
        check.accepted = accept::apply(
            &observed.migration.spec.accept,
            check.name,
            &mut check.verdict,
            &mut check.message,
        );
    }
    checks
}
