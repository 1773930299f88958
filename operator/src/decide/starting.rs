//! `Pending` and `Preflight`: nothing has been touched yet, so an end is an end at once.

use std::time::Duration;

use godwit_crds::{
    Bandwidth, CheckResult, ConditionStatus, ConditionType, FreezeBudget, MAX_CHECKS, MigrationPhase, Plan,
    Verdict, condition,
};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::step::{Action, On, Step, elapsed};
use crate::preflight::agents::{self, ANSWER_WITHIN, Told};
use crate::preflight::{self, Check};
use crate::relay::{self, Role, Task};
use crate::{facts, reason};

/// How soon a leg is looked at again that its parent has made and not yet listed.
const UNLISTED: Duration = Duration::from_millis(50);

/// Takes a migration on: the finalizer is there before anything else is.
pub(super) fn accept(step: &mut Step<'_>) {
    if step.observed.wants_cancel() {
        step.fail(reason::CANCELLED, "cancelled before anything was done".to_owned());
        return;
    }
    if !is_known(step) {
        return;
    }
    if !step.has_finalizer() {
        step.act(Action::AddFinalizer);
    }
    step.condition(
        ConditionType::Accepted,
        true,
        reason::ACCEPTED,
        "the operator has taken the migration on",
    );
    step.enter(
        MigrationPhase::Preflight,
        reason::ACCEPTED,
        "checking whether the pod can be moved".to_owned(),
    );
}

/// False for what says that it is a leg, and is not, or not yet.
fn is_known(step: &mut Step<'_>) -> bool {
    match step.observed.role.clone() {
        Role::Whole | Role::Leg { .. } => return true,
        // Its parent is about to write it down.
        Role::Unlisted => step.look_again(UNLISTED),
        Role::Refused(why) => step.fail(reason::LEG_UNKNOWN, why),
    }
    false
}

/// Runs the operator's checks; where none refuses it plans, and has the source's agent look at the pod.
pub(super) fn check(step: &mut Step<'_>) {
    if step.observed.wants_cancel() {
        step.fail(reason::CANCELLED, "cancelled before anything was done".to_owned());
        return;
    }
    if !is_known(step) {
        return;
    }
    let timeout = match step.observed.migration.spec.timeout.duration() {
        Ok(timeout) => SignedDuration::try_from(timeout).unwrap_or(SignedDuration::from_hours(24)),
        Err(error) => return step.fail("TimeoutInvalid", format!("spec.timeout: {error}")),
    };
    let spec = &step.observed.migration.spec;
    if let Some(Err(error)) = spec.freeze_budget.as_ref().map(FreezeBudget::duration) {
        return step.fail("FreezeBudgetInvalid", format!("spec.freezeBudget: {error}"));
    }
    if let Some(Err(error)) = spec.bandwidth.as_ref().map(Bandwidth::bytes_per_second) {
        return step.fail("BandwidthInvalid", format!("spec.bandwidth: {error}"));
    }
    if step.overdue().is_some() {
        let waited_for = step.status.message.clone().unwrap_or_default();
        return step.fail(
            reason::TIMED_OUT,
            format!("spec.timeout ran out in preflight; last: {waited_for}"),
        );
    }
    let checks = preflight::run(step.observed);
    if verdict(step, &checks, &[]).is_none() {
        return;
    }
    let Some(plan) = plan(step, timeout) else {
        // The checks have made sure of each part of it.
        step.fail(
            "PodNotRunning",
            "the pod has no UID, no node or no address yet".to_owned(),
        );
        return;
    };
    ask(step, plan, checks);
}

/// Has the source's agent look at the pod: it finds itself named in the plan. Ends preflight when it has.
fn ask(step: &mut Step<'_>, plan: Plan, mut checks: Vec<Check>) {
    let asked = condition(&step.status.conditions, ConditionType::PreflightPassed)
        .map(|condition| condition.last_transition_time.0);
    let (Some(asked), Some(before)) = (asked, step.plan().cloned()) else {
        let message = format!(
            "{} checks of the operator passed; the agent on {} looks at the pod",
            checks.len(),
            plan.source_node
        );
        step.status.plan = Some(plan);
        step.condition(
            ConditionType::PreflightPassed,
            ConditionStatus::Unknown,
            reason::AGENT_ASKED,
            &message,
        );
        step.waiting(reason::AGENT_ASKED, message, false);
        return step.look_again(ANSWER_WITHIN);
    };
    if plan.source_pod_uid != before.source_pod_uid {
        let message = "the source pod was replaced by another one of its name while it was being checked";
        return step.fail(reason::SOURCE_GONE, message.to_owned());
    }
    let found = agents::source(step.observed);
    let waited = elapsed(asked, step.now);
    if found.is_none() && waited < ANSWER_WITHIN {
        return step.look_again(ANSWER_WITHIN.saturating_sub(waited));
    }
    checks.push(agents::answered(&before.source_node, found.is_some()));
    let found = found.unwrap_or_default();
    if let Some(passed) = verdict(step, &checks, &found) {
        passed_all(step, passed, &checks, &found);
    }
}

/// Writes down what was found; gives how many checks there were, or `None` if one refuses, which ends the migration.
fn verdict(step: &mut Step<'_>, checks: &[Check], found: &[Told]) -> Option<usize> {
    let own = checks.iter().map(Check::result);
    let results: Vec<CheckResult> = own.chain(found.iter().map(|told| told.result.clone())).collect();
    let refusing = |it: &&CheckResult| it.verdict == Verdict::Refuse;
    let refusals = results.iter().filter(refusing).count();
    let passed = results.len();
    // The first that refuses is the one to act on; an agent's has no reason but its name.
    let own = checks.iter().find(|check| check.verdict == Verdict::Refuse);
    let refusal = match own {
        Some(check) => Some((check.reason.to_owned(), check.message.clone())),
        None => results
            .iter()
            .find(refusing)
            .map(|it| (it.check.clone(), it.message.clone())),
    };
    step.status.preflight = results;
    step.status.preflight.truncate(MAX_CHECKS);
    let Some((reason, message)) = refusal else {
        return Some(passed);
    };
    let more = match refusals {
        1 => String::new(),
        more => format!(" ({} more in status.preflight)", more - 1),
    };
    let message = format!("{message}{more}");
    step.condition(ConditionType::PreflightPassed, false, &reason, &message);
    step.fail(&reason, message);
    None
}

/// Goes on, or ends a dry run.
fn passed_all(step: &mut Step<'_>, passed: usize, checks: &[Check], found: &[Told]) {
    if step.observed.migration.spec.dry_run {
        let message =
            format!("dry run: {passed} checks passed, so the pod could be moved; nothing was made or moved");
        for of in [ConditionType::PreflightPassed, ConditionType::Succeeded] {
            step.condition(of, true, reason::DRY_RUN, &message);
        }
        step.announce(On::Source, false, reason::DRY_RUN, &message);
        step.enter(MigrationPhase::Succeeded, reason::DRY_RUN, message);
        return step.release();
    }
    let name = step.plan().and_then(|plan| plan.target_pod_name.clone());
    let message = format!(
        "{passed} checks passed; preparing pod {}",
        name.unwrap_or_default()
    );
    step.condition(
        ConditionType::PreflightPassed,
        true,
        reason::CHECKS_PASSED,
        &message,
    );
    step.announce(On::Source, false, "MigrationStarted", &message);
    for warning in checks.iter().filter(|check| preflight::is_loss(check)) {
        step.announce(On::Source, true, warning.reason, &warning.message);
    }
    for Told { result, .. } in found.iter().filter(|told| told.accepted) {
        let message = format!("{}: {}", result.check, result.message);
        step.announce(On::Source, true, reason::RISK_ACCEPTED, &message);
    }
    let source = step.observed.source.as_ref();
    if let Some(source) =
        source.filter(|source| matches!(Task::of(&step.observed.role, source), Task::Relay(_)))
    {
        step.status.legs = vec![relay::first(source, &step.observed.migration)];
    }
    step.enter(MigrationPhase::Preparing, reason::CHECKS_PASSED, message);
}

fn plan(step: &Step<'_>, timeout: SignedDuration) -> Option<Plan> {
    let source = step.observed.source.as_ref()?;
    let source_node = source.spec.as_ref()?.node_name.clone()?;
    let source_address = facts::internal_ip(step.observed.node(&source_node)?)?.to_owned();
    let task = Task::of(&step.observed.role, source);
    Some(Plan {
        source_pod_uid: source.metadata.uid.clone()?,
        source_node,
        source_address,
        target_pod_name: Some(task.target_name(source, step.observed.uid())),
        target_pod_uid: None,
        target_node: None,
        target_address: None,
        deadline: Time(step.now.checked_add(timeout).ok()?),
    })
}
