//! A migration in legs ([`crate::relay`]): it follows the leg that is under way, and says what comes after it.
//!
//! ```text
//! guard the name ─► leg away ─► the name is free ─► leg home ─► Succeeded
//!                      │                              │  ▲
//!                      ▼                              ▼  │ a few times
//!            Failed: the source runs on       Failed: the stand-in runs on, the name stays guarded
//! ```
//!
//! `Preparing` to `Switching` last until the leg home has committed; only then is this migration `Finishing`. What was done is
//! seen in the objects: the legs' status, the pod of the name, the stand-in. An operator that dies anywhere goes on from there.
//!
//! *Never two*: the stand-in and a pod that the StatefulSet makes are kept apart by the guard, which goes only when the leg home has
//! committed or the stand-in is gone. *Never none*: the stand-in is deleted only where the StatefulSet would have deleted the pod.

mod away;
mod ending;
mod home;

use std::time::Duration;

use godwit_crds::{
    COMPLETED_ANNOTATION, ConditionType, Leg, MIGRATION_UID_ANNOTATION, MigrationPhase, PodMigration,
    PodMigrationStatus, condition,
};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::step::{Action, Step};
use super::timings;
use crate::owner::Owner;
use crate::{facts, reason, relay};

/// Nothing wakes the operator when a StatefulSet changes.
const TICK: Duration = Duration::from_secs(1);

pub(super) fn decide(step: &mut Step<'_>) {
    if step.status.phase.is_final() {
        return ending::keep(step);
    }
    step.look_again(TICK);
    match step.status.legs.last().map(|last| last.leg) {
        Some(Leg::Home) => home::decide(step),
        Some(Leg::Away) | None => away::decide(step),
    }
}

/// What the StatefulSet wants with the pod.
enum Wish {
    /// It.
    Keeps,
    /// Not to have it; why.
    Ends(String),
    /// To let it go as it is.
    LetsGo,
}

fn wish(step: &Step<'_>) -> Wish {
    match &step.observed.owner {
        Some(Owner::Ends(why)) => Wish::Ends(format!("the pod's StatefulSet {why}")),
        Some(Owner::Lives(living)) if !living.is_complete => Wish::LetsGo,
        Some(Owner::Lives(_)) | None => Wish::Keeps,
    }
}

/// The pod that has the name, or has had it.
fn holder<'a>(step: &Step<'a>) -> Option<&'a Pod> {
    step.observed.source.as_ref()
}

/// The stand-in, once it is the workload.
fn stand_in<'a>(step: &Step<'a>) -> Option<&'a Pod> {
    let away = step.status.legs.iter().find(|leg| leg.leg == Leg::Away);
    let uid = away.and_then(|away| away.uid.as_ref());
    step.observed.target.as_ref().filter(|pod| {
        let own = pod.annotations();
        uid.is_some() && own.get(MIGRATION_UID_ANNOTATION) == uid && own.contains_key(COMPLETED_ANNOTATION)
    })
}

/// True for a stand-in in which something may run.
fn lives(step: &Step<'_>, stand_in: &Pod) -> bool {
    let node = stand_in.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    let is_lost = node.is_some_and(|node| step.observed.is_surely_dead(node));
    !facts::has_ended(stand_in) && !is_lost
}

/// The object of the leg that was begun last; none of another one's that has its name.
fn leg<'a>(step: &Step<'a>) -> Option<&'a PodMigration> {
    let uid = step.status.legs.last()?.uid.as_ref();
    let leg = step.observed.relay.leg.as_ref()?;
    let is_own = match uid {
        Some(uid) => leg.metadata.uid.as_ref() == Some(uid),
        None => relay::is_leg_of(leg, &step.observed.migration),
    };
    is_own.then_some(leg)
}

fn status(leg: &PodMigration) -> PodMigrationStatus {
    leg.status.clone().unwrap_or_default()
}

fn is_committed(leg: &PodMigration) -> bool {
    let status = status(leg);
    let said = condition(&status.conditions, ConditionType::Committed)
        .is_some_and(|committed| committed.status == "True");
    said || matches!(
        status.phase,
        MigrationPhase::Finishing | MigrationPhase::Succeeded
    )
}

/// Writes down what is known of a leg that has been made: then it begins.
fn list(step: &mut Step<'_>, leg: &PodMigration) {
    let of_leg = status(leg);
    let Some(last) = step.status.legs.last_mut() else {
        return;
    };
    last.uid.clone_from(&leg.metadata.uid);
    if let Some(pod) = of_leg.plan.and_then(|plan| plan.target_pod_name) {
        last.pod = Some(pod);
    }
    // That of an earlier migration's leg is not this one's.
    if is_committed(leg)
        && relay::is_leg_of(leg, &step.observed.migration)
        && let Some(freeze) = of_leg.source.and_then(|source| source.freeze)
    {
        last.freeze = Some(freeze);
        step.status.timings = timings::of(&step.status);
    }
}

/// Goes to where the leg is, `Switching` at the most, and says what it says.
fn follow(step: &mut Step<'_>, leg: &PodMigration) {
    let of_leg = status(leg);
    let at = match (step.status.legs.last().map(|last| last.leg), of_leg.phase) {
        (Some(Leg::Home), _)
        | (_, MigrationPhase::Switching | MigrationPhase::Finishing | MigrationPhase::Succeeded) => {
            MigrationPhase::Switching
        }
        (_, MigrationPhase::Copying) => MigrationPhase::Copying,
        _ => MigrationPhase::Preparing,
    };
    let reason = of_leg.reason.unwrap_or_else(|| reason::ACCEPTED.to_owned());
    let message = format!(
        "leg {}: {}",
        leg.name_any(),
        of_leg.message.as_deref().unwrap_or("about to begin")
    );
    step.enter(at, &reason, message.clone());
    step.waiting(&reason, message, false);
}

/// Asks a leg that has not committed to end, and writes down why.
fn call_off(step: &mut Step<'_>, leg: &PodMigration, reason: &str, why: &str) {
    step.condition(ConditionType::CalledOff, true, reason, why);
    if !leg.spec.cancel
        && let (Some(name), Some(uid)) = (leg.metadata.name.clone(), leg.metadata.uid.clone())
    {
        step.act(Action::CancelLeg { name, uid });
    }
}

/// Why this migration has asked its leg to end, if it has.
fn called_off(step: &Step<'_>) -> Option<(String, String)> {
    let why = condition(&step.status.conditions, ConditionType::CalledOff)?;
    (why.status == "True").then(|| (why.reason.clone(), why.message.clone()))
}
