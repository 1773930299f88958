//! `Finishing`: committed. The target is the workload, whatever happens; what is left of the source is removed.

use std::time::Duration;

use godwit_crds::{COMPLETED_ANNOTATION, ConditionType, MigrationPhase, SourceState, TargetState};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::filling;
use super::step::{Action, On, Step, elapsed};
use crate::{facts, reason};

const TICK: Duration = Duration::from_secs(1);
/// How long the target may take to become Ready before its source is removed all the same: the source is frozen for
/// good and of no use to anybody.
const READY_GRACE: Duration = Duration::from_secs(30);
/// How long the source's agent may take to say `Released` while the target runs.
const RELEASE_GRACE: Duration = Duration::from_mins(2);
/// How long a kubelet that is not ready is waited for before the source's object is removed without it.
const KUBELET_AWAY: Duration = Duration::from_mins(1);

pub(super) fn decide(step: &mut Step<'_>) {
    step.look_again(TICK);
    let target = step.observed.own_target().filter(|pod| !facts::has_ended(pod));
    if let Some(target) = target
        && !target.annotations().contains_key(COMPLETED_ANNOTATION)
    {
        let (Some(name), Some(uid)) = (target.metadata.name.clone(), target.metadata.uid.clone()) else {
            return;
        };
        step.act(Action::MarkTarget { name, uid });
        return;
    }
    match (step.observed.planned_source(), target) {
        (None, Some(target)) if runs(step, target) => {
            // The source is not needed for it, so it does not wait for it either.
            if !filling::is_over(step) {
                return filling::wait(step);
            }
            succeeded(step, reason::SUCCEEDED, "the target has taken the source's place");
        }
        (None, Some(_)) => waits_for_target(step),
        (None, None) => succeeded(
            step,
            reason::TARGET_GONE_AFTER_COMMIT,
            "the target took the source's place, and was deleted or ended before the source was removed",
        ),
        (Some(source), None) => remove(step, source),
        (Some(source), Some(target)) => {
            if !runs(step, target) {
                return waits_for_target(step);
            }
            let ready =
                facts::pod_condition(target, "Ready") || step.since(MigrationPhase::Finishing) > READY_GRACE;
            if !ready {
                return step.waiting(
                    reason::COMMITTED,
                    "the target runs; waiting for it to become Ready".to_owned(),
                    false,
                );
            }
            let released =
                step.observed.source_state() == Some(SourceState::Released) || source_is_dead(step);
            if released || step.since(MigrationPhase::Finishing) > RELEASE_GRACE {
                remove(step, source);
            } else {
                step.waiting(
                    reason::COMMITTED,
                    "the target runs; waiting for the source's agent to let go".to_owned(),
                    false,
                );
            }
        }
    }
}

fn runs(step: &Step<'_>, target: &Pod) -> bool {
    step.observed.target_state() == Some(TargetState::Running) && facts::all_containers_run(target)
}

fn source_is_dead(step: &Step<'_>) -> bool {
    step.plan()
        .is_some_and(|plan| step.observed.is_surely_dead(&plan.source_node))
}

fn waits_for_target(step: &mut Step<'_>) {
    let late = step.since(MigrationPhase::Finishing) > RELEASE_GRACE;
    let node = step
        .plan()
        .and_then(|plan| plan.target_node.clone())
        .unwrap_or_default();
    let reason = if late {
        reason::WAITING_FOR_AGENT
    } else {
        reason::COMMITTED
    };
    step.waiting(
        reason,
        format!("committed; waiting for the target on {node} to run"),
        late,
    );
}

fn remove(step: &mut Step<'_>, source: &Pod) {
    let (Some(name), Some(uid)) = (source.metadata.name.clone(), source.metadata.uid.clone()) else {
        return;
    };
    step.waiting(
        reason::COMMITTED,
        format!("the target runs; removing pod {name}, which is frozen for good"),
        false,
    );
    let Some(deleted) = &source.metadata.deletion_timestamp else {
        return step.act(Action::DeleteSource { name, uid, grace: 1 });
    };
    let node = step
        .plan()
        .map(|plan| plan.source_node.clone())
        .unwrap_or_default();
    let kubelet_lives = step.observed.node(&node).is_some_and(facts::is_node_ready);
    if !kubelet_lives && elapsed(deleted.0, step.now) > KUBELET_AWAY {
        step.act(Action::DeleteSource { name, uid, grace: 0 });
    }
}

fn succeeded(step: &mut Step<'_>, reason: &str, message: &str) {
    step.condition(ConditionType::Succeeded, true, reason, message);
    step.enter(MigrationPhase::Succeeded, reason, message.to_owned());
    let freeze = step
        .status
        .timings
        .as_ref()
        .and_then(|timings| timings.freeze.as_ref());
    let frozen = freeze.map_or_else(String::new, |freeze| format!(" (frozen for {})", freeze.total));
    step.announce(On::Target, false, reason, &format!("{message}{frozen}"));
    step.release();
}
