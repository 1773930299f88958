//! Phase `Preflight`: the operator's checks, then a look by the source's agent, and what dry runs and `spec.accept` make of both.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which may")]

mod support;

use std::collections::BTreeSet;

use godwit_crds::checks::{self, RunsBy};
use godwit_crds::{CheckResult, ConditionType, MigrationPhase, TargetSpec, Verdict, condition};
use godwit_operator::decide::{Action, Decision, decide};
use godwit_operator::facts::Observed;
use godwit_operator::preflight::{self, agents};
use godwit_operator::target_pod::build;
use serde_json::json;
use support::{at, node, observed, pod, unasked};

fn found(check: &str, verdict: Verdict) -> CheckResult {
    CheckResult {
        check: check.to_owned(),
        verdict,
        message: format!("{check} found"),
    }
}

/// The source's agent has found that.
fn agent_says(results: &[CheckResult]) -> Observed {
    let mut observed = observed();
    let source = observed.migration.status.as_mut().unwrap().source.as_mut();
    source.unwrap().preflight = results.to_vec();
    observed
}

fn stated(decision: &Decision, of: ConditionType) -> (&str, &str) {
    let condition = condition(&decision.status.conditions, of).unwrap();
    (condition.status.as_str(), condition.reason.as_str())
}

#[test]
fn the_agent_is_asked_when_the_operators_checks_have_passed_and_nothing_is_made_before_it_answers() {
    let decision = decide(&unasked(), at(5));
    assert_eq!(decision.status.phase, MigrationPhase::Preflight);
    assert!(decision.actions.is_empty(), "{:?}", decision.actions);
    let plan = decision.status.plan.clone().unwrap();
    assert_eq!(
        (plan.source_node.as_str(), plan.source_address.as_str()),
        ("n1", "192.0.2.1")
    );
    assert_eq!(plan.deadline.0, at(605));
    assert!(plan.target_pod_uid.is_none());
    assert_eq!(
        stated(&decision, ConditionType::PreflightPassed),
        ("Unknown", "AgentAsked")
    );
    let mut asked = unasked();
    asked.migration.status = Some(decision.status.clone());
    let again = decide(&asked, at(6));
    assert_eq!(again.status, decision.status);
    assert!(again.actions.is_empty() && again.look_again.is_some());
}

#[test]
fn a_refusal_of_the_operator_asks_no_agent() {
    let mut observed = unasked();
    observed.source = Some(pod(|pod| pod["spec"]["hostNetwork"] = json!(true)));
    let decision = decide(&observed, at(5));
    assert_eq!(decision.status.phase, MigrationPhase::Failed);
    assert!(decision.status.plan.is_none());
}

#[test]
fn what_the_agent_finds_is_in_the_list_and_a_refusal_is_the_end() {
    let passed = decide(&agent_says(&[found("Engine", Verdict::Pass)]), at(5)).status;
    assert_eq!(passed.phase, MigrationPhase::Preparing);
    assert!(passed.preflight.iter().any(|it| it.check == "Engine"));
    assert!(passed.preflight.iter().any(|it| it.check == "SourceAgentAnswers"));
    let refused = decide(
        &agent_says(&[
            found("Engine", Verdict::Pass),
            found("ProcessTraced", Verdict::Refuse),
        ]),
        at(5),
    );
    assert_eq!(refused.status.phase, MigrationPhase::Failed);
    assert_eq!(refused.status.reason.as_deref(), Some("ProcessTraced"));
    assert_eq!(refused.status.message.as_deref(), Some("ProcessTraced found"));
    assert_eq!(
        stated(&refused, ConditionType::PreflightPassed),
        ("False", "ProcessTraced")
    );
}

#[test]
fn an_agent_that_does_not_answer_is_named_in_time() {
    let mut silent = observed();
    silent.migration.status.as_mut().unwrap().source = None;
    let waiting = decide(&silent, at(13));
    assert_eq!(waiting.status.phase, MigrationPhase::Preflight);
    assert!(waiting.look_again.unwrap() <= agents::ANSWER_WITHIN);
    let over = decide(&silent, at(14)).status;
    assert_eq!(over.phase, MigrationPhase::Failed);
    assert_eq!(over.reason.as_deref(), Some("SourceAgentSilent"));
    let message = over.message.unwrap();
    assert!(
        message.contains("n1") && message.contains("godwit-agent"),
        "{message}"
    );
}

#[test]
fn a_pod_that_was_replaced_while_it_was_looked_at_is_not_moved() {
    let mut observed = observed();
    observed.source = Some(pod(|pod| pod["metadata"]["uid"] = json!("another")));
    let status = decide(&observed, at(5)).status;
    assert_eq!(
        (status.phase, status.reason.as_deref()),
        (MigrationPhase::Failed, Some("SourceGone"))
    );
}

#[test]
fn the_deadline_holds_in_preflight_too() {
    let mut observed = observed();
    observed.migration.status.as_mut().unwrap().source = None;
    let status = decide(&observed, at(604)).status;
    assert_eq!(status.reason.as_deref(), Some("TimedOut"));
}

#[test]
fn a_dry_run_ends_with_the_list_and_makes_nothing() {
    let mut dry = agent_says(&[found("Engine", Verdict::Pass)]);
    dry.migration.spec.dry_run = true;
    let decision = decide(&dry, at(5));
    assert_eq!(decision.status.phase, MigrationPhase::Succeeded);
    assert_eq!(decision.status.reason.as_deref(), Some("DryRun"));
    assert_eq!(decision.actions, [Action::RemoveFinalizer]);
    assert_eq!(stated(&decision, ConditionType::Succeeded), ("True", "DryRun"));
    assert!(decision.status.message.as_ref().unwrap().contains("nothing was"));
    assert!(decision.status.timings.as_ref().unwrap().preflight.is_some());
    assert!(decision.status.preflight.len() > 20);
    dry.migration
        .status
        .as_mut()
        .unwrap()
        .source
        .as_mut()
        .unwrap()
        .preflight = vec![found("ProcessTraced", Verdict::Refuse)];
    let refused = decide(&dry, at(5)).status;
    assert_eq!(
        (refused.phase, refused.reason.as_deref()),
        (MigrationPhase::Failed, Some("ProcessTraced"))
    );
}

#[test]
fn a_dry_run_is_in_nobodys_way() {
    let mut observed = observed();
    let mut dry = support::migration(support::to_node("n2"));
    dry.metadata.uid = Some("aa".to_owned());
    dry.spec.dry_run = true;
    dry.status = Some(serde_json::from_value(json!({"phase": "Preflight"})).unwrap());
    observed.others = vec![dry];
    assert_eq!(decide(&observed, at(5)).status.phase, MigrationPhase::Preparing);
}

#[test]
fn an_accepted_refusal_is_a_warning_and_an_event() {
    let mut accepting = agent_says(&[found("ProcessUninterruptible", Verdict::Refuse)]);
    let refused = decide(&accepting, at(5)).status;
    assert_eq!(refused.reason.as_deref(), Some("ProcessUninterruptible"));
    assert!(refused.message.unwrap().contains("spec.accept"));
    accepting.migration.spec.accept = vec!["ProcessUninterruptible".to_owned(), "PostStartHook".to_owned()];
    accepting.source = Some(pod(|pod| {
        pod["spec"]["containers"][0]["lifecycle"] = json!({"postStart": {"exec": {"command": ["true"]}}});
    }));
    let decision = decide(&accepting, at(5));
    assert_eq!(decision.status.phase, MigrationPhase::Preparing);
    for name in ["ProcessUninterruptible", "PostStartHook"] {
        let result = decision
            .status
            .preflight
            .iter()
            .find(|it| it.check == name)
            .unwrap();
        assert_eq!(result.verdict, Verdict::Warn, "{name}");
        assert!(result.message.starts_with("accepted"), "{}", result.message);
        assert!(
            decision
                .announcements
                .iter()
                .any(|it| it.warning && it.message.ends_with(&result.message)),
            "{name}: {:?}",
            decision.announcements
        );
    }
}

#[test]
fn an_accepted_hook_is_not_in_the_target() {
    let mut observed = observed();
    observed.source = Some(pod(|pod| {
        pod["spec"]["containers"][0]["lifecycle"] = json!({
            "postStart": {"exec": {"command": ["true"]}}, "preStop": {"sleep": {"seconds": 1}},
        });
    }));
    let lifecycle = |observed: &Observed| {
        let target = build(observed.source.as_ref().unwrap(), &observed.migration);
        target.spec.unwrap().containers.remove(0).lifecycle.unwrap()
    };
    assert!(lifecycle(&observed).post_start.is_some());
    observed.migration.spec.accept = vec!["PostStartHook".to_owned()];
    let left = lifecycle(&observed);
    assert!(left.post_start.is_none() && left.pre_stop.is_some());
}

/// The list and the code are equal: what the operator can say is listed as its own, and what is listed it can say.
#[test]
fn every_check_of_the_operator_is_listed_and_the_other_way_round() {
    let mut said = BTreeSet::new();
    let mut run = |observed: &Observed| said.extend(preflight::run(observed).iter().map(|check| check.name));
    let any = Observed {
        nodes: vec![node("n1", |_| {})],
        ..observed()
    };
    let mut chosen = any.clone();
    chosen.migration.spec.target = None;
    let mut selected = any.clone();
    selected.migration.spec.target = Some(TargetSpec {
        node_name: None,
        node_selector: Some([("zone".to_owned(), "x".to_owned())].into()),
    });
    let nobody = Observed {
        source: None,
        ..observed()
    };
    run(&observed());
    run(&any);
    run(&chosen);
    run(&selected);
    run(&nobody);
    said.insert(agents::answered("n1", true).name);
    let listed: BTreeSet<_> = checks::all()
        .filter(|check| check.runs_by == RunsBy::Operator)
        .map(|check| check.name)
        .collect();
    assert_eq!(said, listed);
}
