//! `Finishing`: committed. The target is the workload, whatever happens; what is left of the source is removed.

use std::time::Duration;

use godwit_crds::{COMPLETED_ANNOTATION, ConditionType, MigrationPhase, SourceState, TargetState};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::step::{Action, On, Step, elapsed};
use super::{adopting, filling};
use crate::{facts, owner, preflight, reason};

const TICK: Duration = Duration::from_secs(1);
/// How long the target may take to become Ready before its source is removed all the same: the source is frozen for
/// good and of no use to anybody.
pub(super) const READY_GRACE: Duration = Duration::from_secs(30);
/// What of the time that the source's liveness probes allow is gone when it is frozen for good and this is asked: the freeze, and this
/// look at it.
const PROBES_BEHIND: Duration = Duration::from_secs(3);
/// How long the source's agent may take to say `Released` while the target runs.
pub(super) const RELEASE_GRACE: Duration = Duration::from_mins(2);
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
    // Nothing that is in the source is still needed, and it must not be started anew. Where the target is known to run, what is waited for
    // is bounded by the same.
    let source = step.observed.planned_source();
    if let Some(source) = source.filter(|source| is_soon_killed(step, source))
        && !target.is_some_and(|target| runs(step, target))
    {
        return remove(step, source);
    }
    // A target that has ended is its owner's too: a Job counts it.
    let own = step.observed.own_target();
    if own.is_some_and(|own| adopting::decide(step, own)) {
        return;
    }
    // One that is deleted before its owner has it is nobody's workload any more.
    let target = target.filter(|target| !adopting::is_lost(target));
    match (step.observed.planned_source(), target) {
        (None, Some(target)) if runs(step, target) => {
            // The source is not needed for it, so it does not wait for it either.
            if !filling::is_over(step) {
                return filling::wait(step);
            }
            succeeded(step, reason::SUCCEEDED, "the target has taken the source's place");
        }
        (None, Some(_)) => waits_for_target(step),
        (None, None) => {
            if let Some(own) = own.filter(|own| goes_soon(step, own)) {
                let message = format!("waiting for the end of pod {}", own.name_any());
                return step.waiting(reason::COMMITTED, message, false);
            }
            let (reason, message) = without_target(step, own);
            succeeded(step, reason, &message);
        }
        (Some(source), None) => remove(step, source),
        (Some(source), Some(target)) => {
            if !runs(step, target) {
                return waits_for_target(step);
            }
            let grace = at_most(READY_GRACE, source);
            let ready =
                facts::pod_condition(target, "Ready") || step.since(MigrationPhase::Finishing) > grace;
            if !ready {
                return step.waiting(
                    reason::COMMITTED,
                    "the target runs; waiting for it to become Ready".to_owned(),
                    false,
                );
            }
            let released =
                step.observed.source_state() == Some(SourceState::Released) || source_is_dead(step);
            let patience = at_most(RELEASE_GRACE, source);
            if released || step.since(MigrationPhase::Finishing) > patience {
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

/// How long the source, which is frozen for good, may stay: never so long that a liveness probe kills it, for then kubelet would start
/// its container anew, and both would run. Once its pod is being deleted, kubelet probes it no more (pkg/kubelet/prober/worker.go).
fn probes_allow(source: &Pod) -> Option<Duration> {
    preflight::liveness_allows(source).map(|allowed| allowed.saturating_sub(PROBES_BEHIND))
}

/// That long, or as long as the liveness probes of the frozen source allow.
pub(super) fn at_most(grace: Duration, source: &Pod) -> Duration {
    probes_allow(source).map_or(grace, |probes| probes.min(grace))
}

/// True for a source that kubelet is about to kill for its liveness probe and to start anew, beside the target. The pod of a Job is left to its
/// restart policy: deleted, it would count as failed.
fn is_soon_killed(step: &Step<'_>, source: &Pod) -> bool {
    let of_a_job =
        owner::reference(source).is_some_and(|reference| owner::Kind::of(reference) == owner::Kind::Job);
    let waited = step.since(MigrationPhase::Finishing);
    source.metadata.deletion_timestamp.is_none()
        && !of_a_job
        && probes_allow(source).is_some_and(|allowed| waited > allowed)
}

/// True for a target that is being deleted and whose kubelet has not had its time for it.
fn goes_soon(step: &Step<'_>, target: &Pod) -> bool {
    let deleted = target.metadata.deletion_timestamp.as_ref();
    // The timestamp is that of the end of the grace.
    deleted.is_some_and(|deleted| elapsed(deleted.0, step.now) <= KUBELET_AWAY)
}

/// Why a migration is over although its target does not run (any more).
fn without_target(step: &Step<'_>, own: Option<&Pod>) -> (&'static str, String) {
    if let Some(message) = adopting::retired(step) {
        return (reason::OWNER_GONE, message);
    }
    let phase = own.and_then(|own| own.status.as_ref()?.phase.as_deref());
    if phase == Some("Succeeded") {
        let message = "the target has taken the source's place, and has done its work";
        return (reason::SUCCEEDED, message.to_owned());
    }
    let message =
        "the target took the source's place, and was deleted or ended before the source was removed";
    (reason::TARGET_GONE_AFTER_COMMIT, message.to_owned())
}

pub(super) fn runs(step: &Step<'_>, target: &Pod) -> bool {
    step.observed.target_state() == Some(TargetState::Running) && facts::all_containers_run(target)
}

pub(super) fn source_is_dead(step: &Step<'_>) -> bool {
    step.plan()
        .is_some_and(|plan| step.observed.is_surely_dead(&plan.source_node))
}

pub(super) fn waits_for_target(step: &mut Step<'_>) {
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
        if !adopting::owner_deletes(step, source) {
            step.act(Action::DeleteSource { name, uid, grace: 1 });
        }
        return;
    };
    // Somebody else's deletion, with the grace that its processes would have needed; a later one shortens it.
    if source
        .metadata
        .deletion_grace_period_seconds
        .is_some_and(|grace| grace > 1)
    {
        step.act(Action::DeleteSource {
            name: name.clone(),
            uid: uid.clone(),
            grace: 1,
        });
    }
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
    for warning in warnings(step) {
        step.announce(On::Target, true, reason::MOVED_WITH_WARNING, &warning);
    }
    step.release();
}

/// What the agents say that did not go as it should.
fn warnings(step: &Step<'_>) -> Vec<String> {
    let source = step.status.source.iter().flat_map(|report| &report.warnings);
    let target = step.status.target.iter().flat_map(|report| &report.warnings);
    source.chain(target).cloned().collect()
}
