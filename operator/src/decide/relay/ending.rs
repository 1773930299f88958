//! How a migration in legs ends, and what is kept up after that.

use std::time::Duration;

use godwit_crds::{ConditionType, MigrationPhase};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::super::step::{Action, On, Step};
use super::{Wish, called_off, lives, stand_in, wish};
use crate::facts::{identity, is_deleted};
use crate::{reason, relay};

/// How often it is seen whether a stand-in that was left behind is gone.
const KEPT: Duration = Duration::from_secs(3);

pub(super) const LET_GO: &str = "the pod's StatefulSet was deleted and has let its pods go; the workload runs on in the stand-in, which is nobody's";

/// The stand-in, if it lives and is to come home. Otherwise sees to the end, and says what is waited for.
pub(super) fn unless_over<'a>(step: &mut Step<'a>) -> Option<&'a Pod> {
    let pod = stand_in(step);
    let Some(pod) = pod.filter(|pod| lives(step, pod)) else {
        let gone =
            "the stand-in was deleted, ended, or was lost with its node; the StatefulSet starts the pod anew";
        let (reason, message) =
            called_off(step).unwrap_or_else(|| (reason::STAND_IN_GONE.to_owned(), gone.to_owned()));
        failed(step, &reason, message);
        return None;
    };
    if is_deleted(pod) {
        if let Some((reason, message)) = called_off(step) {
            step.waiting(&reason, message, false);
        } else {
            let message = format!("the stand-in {} is being deleted", pod.name_any());
            step.waiting(reason::STAND_IN_GONE, message, true);
        }
        return None;
    }
    match wish(step) {
        Wish::Keeps => Some(pod),
        Wish::Ends(why) => {
            retire(step, pod, &why);
            None
        }
        Wish::LetsGo => {
            failed(step, reason::OWNER_LET_GO, LET_GO.to_owned());
            None
        }
    }
}

/// The StatefulSet would delete the pod: the stand-in goes as it would have gone, with the user's own grace.
fn retire(step: &mut Step<'_>, stand_in: &Pod, why: &str) {
    let Some((name, uid)) = identity(stand_in) else {
        return;
    };
    // Why is stored before it is done.
    if called_off(step).is_some_and(|(reason, _)| reason == reason::OWNER_WINS) {
        return step.act(Action::RetireTarget { name, uid });
    }
    let message = format!("{why}: the workload ends in its stand-in {name} as the pod would have");
    step.condition(ConditionType::CalledOff, true, reason::OWNER_WINS, &message);
    step.announce(On::Target, true, reason::OWNER_WINS, &message);
    step.waiting(reason::OWNER_WINS, message, false);
}

/// The workload stays in its stand-in.
pub(super) fn left(step: &mut Step<'_>, stand_in: &str, why: &str) {
    let name = step
        .plan()
        .and_then(|plan| plan.target_pod_name.clone())
        .unwrap_or_default();
    let message = format!(
        "the workload runs on in the stand-in {stand_in} and did not come home: {why}. Another PodMigration with podName {name} or {stand_in} \
         tries again; if the stand-in is deleted, the StatefulSet starts {name} anew, and until then nobody can make it"
    );
    failed(step, reason::LEFT_IN_STAND_IN, message);
}

pub(super) fn failed(step: &mut Step<'_>, reason: &str, message: String) {
    step.condition(ConditionType::Succeeded, false, reason, &message);
    step.announce(On::Source, true, reason, &message);
    step.enter(MigrationPhase::Failed, reason, message);
    step.look_again(Duration::ZERO);
}

pub(super) fn succeeded(step: &mut Step<'_>, reason: &str, message: String) {
    step.condition(ConditionType::Succeeded, true, reason, &message);
    let freeze = step
        .status
        .timings
        .as_ref()
        .and_then(|timings| timings.freeze.as_ref());
    let frozen = freeze.map_or_else(String::new, |freeze| {
        format!(" (frozen for {} in all)", freeze.total)
    });
    step.announce(On::Source, false, reason, &format!("{message}{frozen}"));
    step.enter(MigrationPhase::Succeeded, reason, message);
    step.look_again(Duration::ZERO);
}

/// After the end: the name stays guarded for as long as a stand-in may run, and so long the object stays, too.
pub(super) fn keep(step: &mut Step<'_>) {
    if !relay::guards(&step.observed.migration) {
        return step.release();
    }
    let is_let_go = step.status.reason.as_deref() == Some(reason::OWNER_LET_GO);
    let failed = step.status.phase == MigrationPhase::Failed && !is_let_go;
    step.look_again(KEPT);
    if !failed || stand_in(step).is_none_or(|pod| !lives(step, pod)) {
        step.act(Action::Guard(false));
    }
}
