//! How long liveness probes let the pod be frozen.
//!
//! While the pod is frozen, a probe by exec hangs in the frozen cgroup and one by the network finds it held: each fails after its
//! `timeoutSeconds`. Kubelet asks one at a time (pkg/kubelet/prober/worker.go), at every tick of `periodSeconds` that finds it idle, and
//! kills the container after `failureThreshold` failures in a row, of whichever cause. The answers come as soon as the pod runs again.

use std::time::Duration;

use godwit_crds::checks::{CheckInfo, operator};
use k8s_openapi::api::core::v1::{Pod, PodSpec, Probe};

use super::Check;
use crate::containers::{lasting, moved};
use crate::facts::Observed;

/// Less than this is called short: twice what the freeze of a pod with little memory takes on a busy node.
const SHORT: Duration = Duration::from_secs(2);
/// What an answer itself may take of the last probe's time.
const ANSWER: Duration = Duration::from_millis(500);

/// The shortest freeze that could cost a container its life, over all containers of a pod that have a liveness probe, restarted ones
/// included: those are frozen with the others.
pub(crate) fn liveness_allows(source: &Pod) -> Option<Duration> {
    let spec = source.spec.as_ref()?;
    lasting(spec)
        .filter_map(|it| it.liveness_probe.as_ref())
        .map(allows)
        .min()
}

/// Refuses a `spec.freezeBudget` that the probes would not survive; warns where they allow little.
pub(super) fn liveness(observed: &Observed, source: &Pod) -> Check {
    const CHECK: &CheckInfo = &operator::LIVENESS_PROBE;
    const REASON: &str = "LivenessProbeTooStrict";
    let empty = PodSpec::default();
    let spec = source.spec.as_ref().unwrap_or(&empty);
    let restart = observed.migration.spec.restart_containers.as_slice();
    let probed = lasting(spec).filter_map(|it| Some((allows(it.liveness_probe.as_ref()?), it.name.as_str())));
    let Some((allowed, name)) = probed.min() else {
        return Check::pass(CHECK, REASON);
    };
    let moves = moved(spec, restart).any(|it| it.name == name);
    let whose = if moves {
        ""
    } else {
        ", which is frozen with the others,"
    };
    let budget = &observed.migration.spec.freeze_budget;
    // One that cannot be read is refused by its own name.
    let wanted = budget.as_ref().and_then(|budget| budget.duration().ok());
    if let Some(wanted) = wanted.filter(|wanted| *wanted > allowed) {
        return Check::from_finding(
            CHECK,
            REASON,
            Some(format!(
                "the liveness probe of container {name}{whose} may kill it after a freeze of {} ms, and spec.freezeBudget allows {} ms; lower spec.freezeBudget, or raise failureThreshold, periodSeconds or timeoutSeconds of the probe",
                allowed.as_millis(),
                wanted.as_millis()
            )),
        );
    }
    if allowed < SHORT {
        return Check::warn(
            CHECK,
            REASON,
            format!(
                "the liveness probe of container {name}{whose} may kill it after a freeze of {} ms; raise failureThreshold, periodSeconds or timeoutSeconds of the probe, or set spec.freezeBudget below that",
                allowed.as_millis()
            ),
        );
    }
    Check::pass(CHECK, REASON)
}

/// How long the container may be frozen if all went well before: the first probe to fail may begin with the freeze, the last one that
/// counts is answered if its time has not run out by then.
fn allows(probe: &Probe) -> Duration {
    let seconds = |value: Option<i32>, default: u64| {
        let value = value
            .and_then(|value| u64::try_from(value).ok())
            .filter(|value| *value > 0);
        Duration::from_secs(value.unwrap_or(default))
    };
    let timeout = seconds(probe.timeout_seconds, 1);
    let every = seconds(probe.period_seconds, 10).max(timeout);
    let failures = probe
        .failure_threshold
        .and_then(|times| u32::try_from(times).ok())
        .filter(|times| *times > 0)
        .unwrap_or(3);
    (every.saturating_mul(failures - 1) + timeout).saturating_sub(ANSWER)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn milliseconds(probe: Value) -> u128 {
        allows(&serde_json::from_value(probe).unwrap()).as_millis()
    }

    #[test]
    fn every_failure_but_the_last_takes_a_period_or_the_time_out_if_that_is_longer() {
        assert_eq!(milliseconds(json!({})), 20_500);
        assert_eq!(
            milliseconds(json!({"failureThreshold": 1, "periodSeconds": 1, "timeoutSeconds": 1})),
            500
        );
        assert_eq!(
            milliseconds(json!({"failureThreshold": 2, "periodSeconds": 1})),
            1_500
        );
        assert_eq!(
            milliseconds(json!({"failureThreshold": 2, "periodSeconds": 1, "timeoutSeconds": 5})),
            9_500
        );
    }
}
