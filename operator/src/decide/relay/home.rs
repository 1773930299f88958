//! The leg home, as often as it takes. Until one commits the stand-in is the workload.

use std::time::Duration;

use godwit_crds::{
    COMPLETED_ANNOTATION, ConditionType, Leg, MIGRATION_UID_ANNOTATION, MigrationPhase, PodMigration,
    PodMigrationStatus,
};
use kube::ResourceExt;

use super::super::step::{Action, On, Step, elapsed};
use super::away::{name_is_free, next};
use super::{
    Wish, call_off, called_off, ending, follow, holder, is_committed, leg, list, lives, stand_in, status,
    wish,
};
use crate::{reason, relay};

/// How many legs home are tried.
const ATTEMPTS: usize = 5;
/// Between two of them; what is in the way may pass.
const PAUSE: Duration = Duration::from_secs(2);
/// A leg home has at least this long, whatever is left of `spec.timeout`: the pod is better off at home.
const AT_LEAST: Duration = Duration::from_mins(1);

pub(super) fn decide(step: &mut Step<'_>) {
    let leg = leg(step);
    if let Some(leg) = leg.filter(|leg| is_committed(leg)) {
        list(step, leg);
        return arrived(step, &status(leg));
    }
    if leg.is_none() && has_arrived(step) {
        let gone = PodMigrationStatus {
            phase: MigrationPhase::Succeeded,
            ..PodMigrationStatus::default()
        };
        return arrived(step, &gone);
    }
    // Somebody may have taken it off.
    if !relay::guards(&step.observed.migration) {
        step.act(Action::Guard(true));
        if leg.is_none() {
            return;
        }
    }
    if let Some(leg) = leg {
        list(step, leg);
        if status(leg).phase != MigrationPhase::Failed {
            return under_way(step, leg);
        }
    }
    let Some(stand_in) = ending::unless_over(step) else {
        return;
    };
    let stand_in_name = stand_in.name_any();
    let node = stand_in.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let was_made = step.status.legs.last().is_some_and(|last| last.uid.is_some());
    if was_made {
        return again(step, leg, &stand_in_name);
    }
    // What is in the way of the pod would only be in the way of the leg.
    if !name_is_free(step) {
        if step.overdue().is_some() {
            ending::left(step, &stand_in_name, "the name is not free");
        }
        return;
    }
    if step.observed.relay.leg.is_some() {
        return ending::left(
            step,
            &stand_in_name,
            "a PodMigration that Godwit did not make has the name of its leg home",
        );
    }
    let parent = &step.observed.migration;
    let begins_away = step
        .plan()
        .is_some_and(|plan| Some(&plan.source_pod_uid) != stand_in.metadata.uid.as_ref());
    let target = relay::route(
        Leg::Home,
        parent.spec.target.as_ref(),
        begins_away,
        node.as_deref(),
    );
    let limit = step.until_deadline().max(AT_LEAST);
    if let Some(report) = step.status.legs.last() {
        let leg = relay::build(parent, report, &stand_in_name, target, limit);
        step.act(Action::CreateLeg(Box::new(leg)));
    }
}

/// It is on its way. Cancelling comes too late for it: the pod has left, and this is the way back to where it belongs.
fn under_way(step: &mut Step<'_>, leg: &PodMigration) {
    follow(step, leg);
    match wish(step) {
        Wish::Keeps => {}
        Wish::Ends(why) => call_off(step, leg, reason::OWNER_WINS, &why),
        Wish::LetsGo => call_off(step, leg, reason::OWNER_LET_GO, ending::LET_GO),
    }
}

/// After a leg home that has failed: the next one, or the end.
fn again(step: &mut Step<'_>, leg: Option<&PodMigration>, stand_in: &str) {
    let of_leg = leg.map(status);
    let why = of_leg
        .as_ref()
        .and_then(|of_leg| of_leg.message.clone())
        .unwrap_or_else(|| "the leg home was deleted".to_owned());
    let tried = step.status.legs.iter().filter(|leg| leg.leg == Leg::Home).count();
    if tried >= ATTEMPTS || step.overdue().is_some() {
        return ending::left(step, stand_in, &why);
    }
    let ended = of_leg.and_then(|of_leg| of_leg.transitions.last().map(|last| last.at.0));
    if ended.is_some_and(|ended| elapsed(ended, step.now) < PAUSE) || !name_is_free(step) {
        return;
    }
    let message = format!(
        "leg home {tried} of {ATTEMPTS} failed and the next one follows; the workload runs in its stand-in {stand_in}: {why}"
    );
    if called_off(step).is_some() {
        // The StatefulSet wants it again.
        step.condition(ConditionType::CalledOff, false, reason::IN_STAND_IN, &message);
    }
    step.announce(On::Target, true, reason::IN_STAND_IN, &message);
    step.waiting(reason::IN_STAND_IN, message, false);
    next(step);
}

/// True if the pod of the name is that of the last leg, and the workload; its leg was deleted when it was over.
fn has_arrived(step: &Step<'_>) -> bool {
    let uid = step.status.legs.last().and_then(|last| last.uid.as_ref());
    let pod = holder(step).filter(|pod| pod.annotations().contains_key(COMPLETED_ANNOTATION));
    uid.is_some()
        && pod.is_some_and(|pod| pod.annotations().get(MIGRATION_UID_ANNOTATION) == uid)
        && stand_in(step).is_none_or(|stand_in| !lives(step, stand_in))
}

/// The leg home has committed: the name is its pod's, and the StatefulSet does with it what it would have done before.
fn arrived(step: &mut Step<'_>, of_leg: &PodMigrationStatus) {
    if relay::guards(&step.observed.migration) {
        return step.act(Action::Guard(false));
    }
    let message = of_leg
        .message
        .clone()
        .unwrap_or_else(|| "the pod is home".to_owned());
    let reason = of_leg
        .reason
        .clone()
        .unwrap_or_else(|| reason::SUCCEEDED.to_owned());
    if let (Some(own), Some(plan)) = (&mut step.status.plan, &of_leg.plan) {
        own.target_node.clone_from(&plan.target_node);
        own.target_address.clone_from(&plan.target_address);
    }
    step.condition(
        ConditionType::Committed,
        true,
        reason::COMMITTED,
        "the pod of the name is the workload again",
    );
    step.enter(MigrationPhase::Finishing, &reason, message.clone());
    step.waiting(&reason, message.clone(), false);
    if of_leg.phase == MigrationPhase::Succeeded {
        ending::succeeded(step, &reason, message);
    }
}
