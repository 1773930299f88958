//! `Pending` and `Preflight`: nothing has been touched yet, so an end is an end at once.

use std::time::Duration;

use godwit_crds::{Bandwidth, ConditionType, FreezeBudget, MigrationPhase, Plan, Verdict};
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::step::{Action, On, Step};
use crate::relay::{self, Role, Task};
use crate::{facts, preflight, reason};

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

/// Runs the checks, and plans where none refuses.
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
    let checks = preflight::run(step.observed);
    step.status.preflight = checks.iter().map(preflight::Check::result).collect();
    if let Some(refusal) = checks.iter().find(|check| check.verdict == Verdict::Refuse) {
        let others = checks
            .iter()
            .filter(|check| check.verdict == Verdict::Refuse)
            .count()
            - 1;
        let more = if others == 0 {
            String::new()
        } else {
            format!(" ({others} more in status.preflight)")
        };
        let message = format!("{}{more}", refusal.message);
        step.condition(ConditionType::PreflightPassed, false, refusal.reason, &message);
        step.fail(refusal.reason, message);
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
    let message = format!(
        "{} checks passed; preparing pod {}",
        checks.len(),
        plan.target_pod_name.as_deref().unwrap_or_default()
    );
    step.status.plan = Some(plan);
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
