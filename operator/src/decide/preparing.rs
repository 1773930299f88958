//! `Preparing`: the target pod is made and watched until its last parking container runs. The agents have not begun,
//! so the operator alone undoes.

use std::time::Duration;

use godwit_crds::{ConditionType, Leg, MigrationPhase};

use super::parking::{Parking, progress};
use super::step::{Action, Step};
use crate::owner::Owner;
use crate::unlike::{Source, Unlike};
use crate::{facts, reason, relay};

/// Graces run out without an event in the cluster.
const TICK: Duration = Duration::from_secs(2);

pub(super) fn decide(step: &mut Step<'_>) {
    let observed = step.observed;
    if observed.wants_cancel() {
        return step.fail(
            reason::CANCELLED,
            "cancelled while the target pod was being prepared".to_owned(),
        );
    }
    if step.overdue().is_some() {
        let waited_for = step.status.message.clone().unwrap_or_default();
        return step.fail(
            reason::TIMED_OUT,
            format!("spec.timeout ran out while preparing the target pod; last: {waited_for}"),
        );
    }
    let Some(source) = observed
        .planned_source()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
    else {
        return step.fail(
            reason::SOURCE_GONE,
            "the source pod ended, or was deleted by its owner or a user, while the target pod was being prepared".to_owned(),
        );
    };
    let recorded = step.plan().and_then(|plan| plan.target_pod_uid.clone());
    match (observed.own_target(), &observed.target, recorded) {
        (Some(target), _, recorded) => {
            let uid = target.metadata.uid.clone();
            if recorded.is_some() && recorded != uid {
                return step.fail(
                    reason::TARGET_DELETED,
                    "the target pod was replaced by another of its name".to_owned(),
                );
            }
            if let Some(plan) = &mut step.status.plan {
                plan.target_pod_uid = uid;
            }
            follow(step, target);
        }
        (None, _, Some(_)) => {
            step.fail(
                reason::TARGET_DELETED,
                "the target pod was deleted while it was being prepared; do not delete it, set spec.cancel"
                    .to_owned(),
            );
        }
        (None, Some(_), None) => {
            let name = step
                .plan()
                .and_then(|plan| plan.target_pod_name.clone())
                .unwrap_or_default();
            step.fail(
                reason::TARGET_REFUSED,
                format!("a pod {name} that Godwit did not make is in the way; delete it and migrate again"),
            );
        }
        (None, None, None) => {
            if let Some(Owner::Ends(why)) = &observed.owner {
                let message = format!("the pod's owner {why}, and the pod will go with it");
                return step.fail(reason::OWNER_GONE, message);
            }
            let target = relay::target(observed, source);
            step.act(Action::CreateTarget(Box::new(target)));
            step.look_again(TICK);
        }
    }
}

fn follow(step: &mut Step<'_>, target: &k8s_openapi::api::core::v1::Pod) {
    match progress(target, step.now) {
        Parking::Failed { reason, message } => step.fail(reason, message),
        Parking::Waiting(message) => {
            step.waiting(reason::CHECKS_PASSED, message, false);
            step.look_again(TICK.min(step.until_deadline()));
        }
        Parking::Parked { node } => {
            let Some(address) = step
                .observed
                .node(&node)
                .and_then(facts::internal_ip)
                .map(str::to_owned)
            else {
                step.waiting(
                    reason::CHECKS_PASSED,
                    format!("node {node} has no InternalIP"),
                    false,
                );
                return step.look_again(TICK);
            };
            let may_stay = step.observed.role.leg() == Some(Leg::Home);
            if !may_stay && step.plan().is_some_and(|plan| plan.source_node == node) {
                return step.fail(reason::TARGET_REFUSED, format!("the target pod was bound to {node}, the node of its source; something in the cluster changes pods' affinity"));
            }
            if let Some(unlike) = unlike(step, &node) {
                let message = format!(
                    "the target pod was bound to {node}, which is not what it was in preflight: {}",
                    unlike.message
                );
                return step.fail(unlike.reason, message);
            }
            let message = format!("the target pod is parked on {node}");
            if let Some(plan) = &mut step.status.plan {
                plan.target_node = Some(node);
                plan.target_address = Some(address);
            }
            step.condition(
                ConditionType::TargetPrepared,
                true,
                reason::TARGET_PARKED,
                &message,
            );
            step.enter(MigrationPhase::Copying, reason::TARGET_PARKED, message);
            step.look_again(step.until_deadline());
        }
    }
}

/// What keeps the pod from moving to that node: it may have joined the cluster since preflight, or changed.
fn unlike(step: &Step<'_>, node: &str) -> Option<Unlike> {
    let source = &step.plan()?.source_node;
    Source::of(step.observed, source).obstacle(step.observed.node(node)?)
}
