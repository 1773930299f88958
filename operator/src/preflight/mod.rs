//! What the operator checks before anything is touched. Each check has a stable name, and a refusal says what to
//! change. The agents' own checks (processes, sockets, mounts) follow on the nodes.

mod admission;
mod containers;
mod memory;
mod nodes;
mod owner;
mod pod;
mod probes;
mod volumes;

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

    fn pass(name: &'static str, reason: &'static str) -> Self {
        Self {
            name,
            verdict: Verdict::Pass,
            reason,
            message: String::new(),
        }
    }

    fn warn(name: &'static str, reason: &'static str, message: String) -> Self {
        Self {
            name,
            verdict: Verdict::Warn,
            reason,
            message,
        }
    }

    /// Refuses if something was found, passes otherwise.
    fn from_finding(name: &'static str, reason: &'static str, finding: Option<String>) -> Self {
        match finding {
            Some(message) => Self {
                name,
                verdict: Verdict::Refuse,
                reason,
                message,
            },
            None => Self::pass(name, reason),
        }
    }
}

/// True for a warning that something of the pod will not be there after the move: worth an event, not only a line in the status.
pub fn is_loss(check: &Check) -> bool {
    check.verdict == Verdict::Warn && containers::LOSSES.contains(&check.name)
}

/// All checks, in an order in which the first refusal is the one to act on. A pod that is not there has one check only.
pub fn run(observed: &Observed) -> Vec<Check> {
    let name = &observed.migration.spec.pod_name;
    let Some(source) = &observed.source else {
        let missing =
            format!("there is no pod {name} in this namespace; set spec.podName to a pod that is running");
        return vec![Check::from_finding("PodExists", "PodNotFound", Some(missing))];
    };
    let mut checks = vec![Check::pass("PodExists", "PodNotFound")];
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
    checks
}
