//! Whether the API server would take the target pod: quotas, limit ranges, pod security, webhooks.

use godwit_crds::checks::operator;

use super::Check;
use crate::facts::Observed;
use crate::reason;

/// In the words of the quota plugin (apiserver's resourcequota admission, `checkRequest`).
const QUOTA: &str = "exceeded quota";
/// In the words of the limit range plugin (kubernetes plugin/pkg/admission/limitranger, `maxConstraint` and its like): of a container, a pod, or a claim.
const LIMIT_RANGE: [&str; 2] = [" usage per ", " ratio per "];

/// What the API server said when it was asked in a dry run.
pub(super) fn check(observed: &Observed) -> Check {
    let finding = observed.target_refusal.as_deref().map(|words| {
        let cure = if words.contains(QUOTA) {
            "; source and target both count for as long as a migration lasts: raise the quota by one such pod"
        } else if LIMIT_RANGE.iter().any(|part| words.contains(part)) {
            "; for a limit range the target is a new pod: change the limit range, or make the pod anew within it"
        } else {
            ""
        };
        format!("the API server would refuse the target pod: {words}{cure}")
    });
    Check::from_finding(&operator::TARGET_ADMITTED, reason::TARGET_REFUSED, finding)
}
