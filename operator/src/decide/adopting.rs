//! The end of a migration whose pod has an owner: the target becomes the owner's in the place of the source.
//!
//! At no moment does the owner see a pod too few, and of one too many it deletes the source. Which order that takes is in
//! [`crate::owner`]. A step that was taken is seen in the pods, not remembered: an operator that dies between two of them
//! goes on with the next. What is withheld is given once, for the same patch takes the note of it away.

use std::time::Duration;

use godwit_crds::{ConditionType, MigrationPhase, SourceState, condition};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::finishing::{READY_GRACE, RELEASE_GRACE, at_most, runs, source_is_dead, waits_for_target};
use super::step::{Action, On, Step, elapsed};
use crate::facts::{self, Observed, identity, is_deleted};
use crate::owner::{self, Kind, Living, Owner, Withheld};
use crate::reason;

/// How long a replica set may take to be at rest (as many pods as wanted, all ready) before the target is adopted all the
/// same; less where the source's liveness probes allow less. The source is frozen meanwhile, and its address serves.
const REST_GRACE: Duration = Duration::from_mins(2);
/// A Job looks at its pods a second after an event (`SyncJobBatchPeriod` in kubernetes `job_controller.go`), so after
/// this long without one it is not about to look. The clocks here have whole seconds.
const QUIET: Duration = Duration::from_secs(2);
/// How long that is waited for. A Job that looks in the wrong moment makes a pod, and deletes that one again.
const QUIET_GRACE: Duration = Duration::from_secs(15);
/// How long a replica set may take to delete the source before Godwit does.
const OWNER_DELETES: Duration = Duration::from_secs(10);
/// How long an API server that refuses the adoption is asked again.
const REFUSED_GRACE: Duration = Duration::from_mins(5);

/// True when that was all for now: something is still withheld from the target, and it is waited for or given.
pub(super) fn decide(step: &mut Step<'_>, target: &Pod) -> bool {
    let Some(withheld) = Withheld::from(target) else {
        note(step, target);
        return false;
    };
    let given_up = adopted(step).is_some_and(|adopted| adopted.status == "False");
    // A pod that is being deleted takes no finalizers and is nobody's any more.
    if given_up || is_deleted(target) {
        return false;
    }
    let source = step.observed.planned_source();
    if withheld.references.is_empty() {
        // A stand-in is nobody's: only labels come back to it.
        let source = source.filter(|source| !is_deleted(source));
        if is_ready_for(step, target, source, Kind::Other) {
            give_back(
                step,
                target,
                withheld,
                "the stand-in has the labels of the source now",
            );
        }
        return true;
    }
    if let Some(source) = source.filter(|source| !is_deleted(source) && withheld.was_let_go(source)) {
        let give = withheld.of_one_let_go(source);
        if is_ready_for(step, target, Some(source), Kind::Other) {
            give_back(
                step,
                target,
                give,
                &format!("{} had let the source go", withheld.owner()),
            );
        }
        return true;
    }
    if let Some(Owner::Ends(why)) = &step.observed.owner {
        retire(step, target, &format!("{} {why}", withheld.owner()));
        return true;
    }
    let kind = withheld.kind();
    // One that is deleted already, by its owner or by a user, is not waited with: its owner goes by its own rules now.
    let source = source.filter(|source| !is_deleted(source));
    if !is_ready_for(step, target, source, kind) || !owner_rests(step, target, source, &withheld) {
        return true;
    }
    let goes = source.filter(|source| withheld.owns(source));
    let is_deleted_first = goes.is_some_and(|source| part(step, source, target, &withheld));
    let message = format!(
        "the target belongs to {} now, in the place of the source",
        withheld.owner()
    );
    give_back(step, target, withheld, &message);
    // It is one too many now. Its owner would delete it as well, with the grace that its processes would have needed; kubelet waits for all of
    // that, also when a later deletion shortens it (30 s, kubelet 1.37), and they are frozen.
    if let Some((name, uid)) = goes
        .filter(|_| kind.counts_replicas() && !is_deleted_first)
        .and_then(identity)
    {
        step.act(Action::DeleteSource { name, uid, grace: 1 });
    }
    true
}

/// True while the source is its owner's to delete: it has one too many since the adoption.
pub(super) fn owner_deletes(step: &Step<'_>, source: &Pod) -> bool {
    let counts = owner::reference(source).is_some_and(|reference| Kind::of(reference).counts_replicas());
    let since = adopted(step)
        .filter(|adopted| adopted.status == "True")
        .map(|adopted| elapsed(adopted.last_transition_time.0, step.now));
    let is_probed = step.since(MigrationPhase::Finishing) > at_most(Duration::MAX, source);
    counts && !is_probed && since.is_some_and(|since| since < OWNER_DELETES)
}

/// True for a target that is being deleted and still lacks what makes it its owner's.
pub(super) fn is_lost(target: &Pod) -> bool {
    is_deleted(target) && Withheld::from(target).is_some()
}

/// What was said of an owner that is gone; the end of the migration says it again.
pub(super) fn retired(step: &Step<'_>) -> Option<String> {
    adopted(step)
        .filter(|adopted| adopted.reason == reason::OWNER_GONE)
        .map(|adopted| adopted.message.clone())
}

/// The decision when the API server does not let the target be adopted. Nothing has been done to the source then.
pub fn adoption_refused(observed: &Observed, message: &str, now: Timestamp) -> super::Decision {
    let mut step = Step::new(observed, now);
    let message = format!("the API server refuses to give the target to its owner: {message}");
    step.look_again(Duration::from_secs(5));
    if step.since(MigrationPhase::Finishing) > REFUSED_GRACE {
        let message = format!("{message}; the target goes on without an owner, which replaces the source");
        step.condition(ConditionType::Adopted, false, reason::ADOPTION_REFUSED, &message);
        step.waiting(reason::ADOPTION_REFUSED, message, true);
    } else {
        step.waiting(reason::WAITING_FOR_OWNER, message, true);
    }
    step.decided()
}

fn adopted<'a>(step: &'a Step<'_>) -> Option<&'a k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition> {
    condition(&step.status.conditions, ConditionType::Adopted)
}

/// An operator that died after the adoption has not written it down.
fn note(step: &mut Step<'_>, target: &Pod) {
    if owner::reference(target).is_some() && adopted(step).is_none() {
        step.condition(
            ConditionType::Adopted,
            true,
            reason::ADOPTED,
            "the target has an owner",
        );
    }
}

/// Whether target, source and the source's agent are as far as they have to be; says what is waited for.
fn is_ready_for(step: &mut Step<'_>, target: &Pod, source: Option<&Pod>, kind: Kind) -> bool {
    if !facts::has_ended(target) && !runs(step, target) {
        waits_for_target(step);
        return false;
    }
    let Some(source) = source else { return true };
    let since = step.since(MigrationPhase::Finishing);
    // A replica set deletes what is not ready before it looks at the cost.
    let grace = if kind.counts_replicas() && is_ready(source) {
        REST_GRACE
    } else {
        READY_GRACE
    };
    let waits_for = if !facts::has_ended(target) && !is_ready(target) && since <= at_most(grace, source) {
        "waiting for it to become Ready"
    } else if step.observed.source_state() != Some(SourceState::Released)
        && !source_is_dead(step)
        && since <= at_most(RELEASE_GRACE, source)
    {
        "waiting for the source's agent to let go"
    } else {
        return true;
    };
    step.waiting(reason::COMMITTED, format!("the target runs; {waits_for}"), false);
    false
}

/// Whether the owner does with one pod more what it should; says what is waited for.
fn owner_rests(step: &mut Step<'_>, target: &Pod, source: Option<&Pod>, withheld: &Withheld) -> bool {
    let (Some(source), Some(Owner::Lives(living))) = (source, &step.observed.owner) else {
        return true;
    };
    let since = step.since(MigrationPhase::Finishing);
    let (rests, grace) = match withheld.kind() {
        Kind::ReplicaSet | Kind::ReplicationController if facts::has_ended(target) => return true,
        Kind::ReplicaSet | Kind::ReplicationController => (is_at_rest(living, source), REST_GRACE),
        Kind::Job => (is_quiet(step, living, source), QUIET_GRACE),
        _ => return true,
    };
    if rests || since > at_most(grace, source) {
        return true;
    }
    step.waiting(
        reason::WAITING_FOR_OWNER,
        format!(
            "the target runs; waiting until {} is at rest, so that it takes the target for the source and no other pod",
            withheld.owner()
        ),
        false,
    );
    false
}

/// As many pods as wanted, and all of them ready but for the source, which may fail its probes: it is frozen.
fn is_at_rest(living: &Living, source: &Pod) -> bool {
    let of_the_source = i32::from(!is_ready(source));
    living.is_complete && living.not_ready <= of_the_source
}

/// Nobody has changed the Job or the source for a while, so the Job is not about to count its pods.
fn is_quiet(step: &Step<'_>, living: &Living, source: &Pod) -> bool {
    let changed = living.changed.max(owner::changed(&source.metadata));
    changed.is_none_or(|changed| elapsed(changed, step.now) > QUIET)
}

/// Sees to it that the owner loses the source and not the target when it gets that one. True if the source is deleted for that.
fn part(step: &mut Step<'_>, source: &Pod, target: &Pod, withheld: &Withheld) -> bool {
    let Some((name, uid)) = identity(source) else {
        return false;
    };
    match withheld.kind() {
        // It would delete a target that is not ready for a source that is, whatever the cost. It is to make a new pod then, and
        // to delete that one again: it is not even scheduled.
        kind if kind.counts_replicas() && is_ready(source) && !is_ready(target) => {
            step.act(Action::DeleteSource { name, uid, grace: 1 });
            return true;
        }
        kind if kind.counts_replicas() && !owner::is_costed(source) => {
            step.act(Action::CostSource { name, uid });
        }
        Kind::Job => {
            let take = Box::new(withheld.clone());
            step.act(Action::ReleaseSource { name, uid, take });
        }
        _ => {}
    }
    false
}

fn give_back(step: &mut Step<'_>, target: &Pod, give: Withheld, message: &str) {
    let Some((name, uid)) = identity(target) else {
        return;
    };
    let give = Box::new(give);
    step.act(Action::AdoptTarget { name, uid, give });
    step.condition(ConditionType::Adopted, true, reason::ADOPTED, message);
    step.announce(On::Target, false, reason::ADOPTED, message);
    step.waiting(reason::ADOPTED, message.to_owned(), false);
}

/// The target goes as garbage collection would have let the source go: with the user's own grace.
fn retire(step: &mut Step<'_>, target: &Pod, why: &str) {
    let Some((name, uid)) = identity(target) else {
        return;
    };
    let message = format!("{why}: the target goes as the source would have gone");
    step.condition(ConditionType::Adopted, false, reason::OWNER_GONE, &message);
    step.announce(On::Target, true, reason::OWNER_GONE, &message);
    step.waiting(reason::OWNER_GONE, message, false);
    step.act(Action::RetireTarget { name, uid });
}

fn is_ready(pod: &Pod) -> bool {
    facts::pod_condition(pod, "Ready")
}
