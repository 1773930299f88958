//! The leg away, until the name is free. Until it commits this migration can be given up at no cost.

use godwit_crds::{ConditionType, Leg, MigrationPhase};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::super::step::{Action, On, Step};
use super::{
    Wish, call_off, called_off, ending, follow, holder, is_committed, leg, list, stand_in, status, wish,
};
use crate::facts::{identity, is_deleted};
use crate::{reason, relay};

pub(super) fn decide(step: &mut Step<'_>) {
    // It needs a moment to reach the caches of the API servers.
    if !relay::guards(&step.observed.migration) {
        return step.act(Action::Guard(true));
    }
    let Some(leg) = leg(step) else {
        let was_made = step.status.legs.last().is_some_and(|last| last.uid.is_some());
        return if was_made { vanished(step) } else { begin(step) };
    };
    list(step, leg);
    match status(leg).phase {
        MigrationPhase::Succeeded => return arrived(step),
        MigrationPhase::Failed => {
            let of_leg = status(leg);
            let own = (
                of_leg.reason.unwrap_or_else(|| reason::ROLLED_BACK.to_owned()),
                of_leg.message.unwrap_or_default(),
            );
            let (reason, message) = called_off(step).unwrap_or(own);
            return ending::failed(step, &reason, message);
        }
        _ => follow(step, leg),
    }
    if is_committed(leg) {
        return;
    }
    if step.observed.wants_cancel() {
        return call_off(step, leg, reason::CANCELLED, "cancelled before the pod had left");
    }
    match wish(step) {
        Wish::Keeps => {}
        Wish::Ends(why) => call_off(step, leg, reason::OWNER_WINS, &why),
        Wish::LetsGo => call_off(step, leg, reason::OWNER_LET_GO, LET_GO),
    }
}

const LET_GO: &str = "the pod's StatefulSet is being deleted and lets its pods go";

/// Makes the leg.
fn begin(step: &mut Step<'_>) {
    let observed = step.observed;
    if observed.wants_cancel() {
        return ending::failed(
            step,
            reason::CANCELLED,
            "cancelled before the pod had left".to_owned(),
        );
    }
    if observed.relay.leg.is_some() {
        let name = step
            .status
            .legs
            .last()
            .map(|last| last.migration.clone())
            .unwrap_or_default();
        let message = format!(
            "a PodMigration {name} that Godwit did not make is in the way; delete it and migrate again"
        );
        return ending::failed(step, reason::LEG_UNKNOWN, message);
    }
    if step.overdue().is_some() {
        return ending::failed(
            step,
            reason::TIMED_OUT,
            "spec.timeout ran out before the pod could leave".to_owned(),
        );
    }
    let Some(source) = observed.planned_source().filter(|pod| !is_deleted(pod)) else {
        let message = "the pod ended, or was deleted by its owner or a user, before it could leave";
        return ending::failed(step, reason::SOURCE_GONE, message.to_owned());
    };
    match wish(step) {
        Wish::Keeps => {}
        Wish::Ends(why) => return ending::failed(step, reason::OWNER_WINS, why),
        Wish::LetsGo => return ending::failed(step, reason::OWNER_LET_GO, LET_GO.to_owned()),
    }
    let Some(report) = step.status.legs.last() else {
        return;
    };
    let parent = &observed.migration;
    let target = relay::route(Leg::Away, parent.spec.target.as_ref(), true, None);
    let leg = relay::build(parent, report, &source.name_any(), target, step.until_deadline());
    step.act(Action::CreateLeg(Box::new(leg)));
}

/// Somebody has deleted the leg's object, which it allows only when it is over. How it ended is seen in the pods.
fn vanished(step: &mut Step<'_>) {
    if stand_in(step).is_some() {
        return arrived(step);
    }
    let message = "the leg away was deleted, and there is no stand-in; the pod is as its StatefulSet has it";
    ending::failed(step, reason::LEG_DELETED, message.to_owned());
}

/// The stand-in is the workload. As soon as the name is free the leg home is written down.
fn arrived(step: &mut Step<'_>) {
    if let Some(stand_in) = stand_in(step) {
        let message = format!("the workload runs in its stand-in {}", stand_in.name_any());
        step.enter(MigrationPhase::Switching, reason::IN_STAND_IN, message);
    }
    let Some(stand_in) = ending::unless_over(step) else {
        return;
    };
    let message = format!("the workload runs in its stand-in {}", stand_in.name_any());
    if called_off(step).is_some() {
        // It came too late for this leg.
        step.condition(ConditionType::CalledOff, false, reason::IN_STAND_IN, &message);
    }
    if !name_is_free(step) {
        return;
    }
    step.waiting(reason::IN_STAND_IN, message, false);
    next(step);
}

/// Writes down that a leg home follows.
pub(super) fn next(step: &mut Step<'_>) {
    let attempt = step.status.legs.len();
    let report = relay::planned(&step.observed.migration, Leg::Home, attempt);
    step.status.legs.push(report);
}

/// Whether the pod can be made; removes a pod that somebody else has made in its place, and says what is waited for.
pub(super) fn name_is_free(step: &mut Step<'_>) -> bool {
    let Some(pod) = holder(step) else { return true };
    let name = pod.name_any();
    if is_known(step, pod) || is_deleted(pod) {
        step.waiting(
            reason::IN_STAND_IN,
            format!("the workload runs in its stand-in; waiting for the end of pod {name}"),
            false,
        );
    } else if let Some((name, uid)) = identity(pod) {
        // It began empty, and what it should be is in the stand-in.
        let message = format!(
            "pod {name} was made by somebody else while its workload is in the stand-in; removing it"
        );
        if step.status.reason.as_deref() != Some(reason::NAME_TAKEN) {
            step.announce(On::Source, true, reason::NAME_TAKEN, &message);
        }
        step.waiting(reason::NAME_TAKEN, message, false);
        step.act(Action::ClearName { name, uid });
    }
    false
}

/// True for the source, and for a pod that a leg of this migration has made.
fn is_known(step: &Step<'_>, pod: &Pod) -> bool {
    let uid = pod.metadata.uid.as_ref();
    let is_source = step.plan().is_some_and(|plan| Some(&plan.source_pod_uid) == uid);
    let maker = pod.annotations().get(godwit_crds::MIGRATION_UID_ANNOTATION);
    let legs = &step.status.legs;
    is_source || (maker.is_some() && legs.iter().any(|leg| leg.uid.as_ref() == maker))
}
