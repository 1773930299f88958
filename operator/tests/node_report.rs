//! A node's report: one answer for each pod, of what the operator knows and what the node's agent has seen.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which may")]

mod support;

use godwit_crds::{AgentLook, CheckResult, NodeReportStatus, PodLook, PodVerdict, Verdict};
use godwit_operator::facts::Observed;
use godwit_operator::node_report::{Known, answer, known};
use serde_json::json;
use support::{at, pod, unasked};

fn check(name: &str, verdict: Verdict) -> CheckResult {
    CheckResult {
        check: name.to_owned(),
        verdict,
        message: format!("{name} found"),
    }
}

fn look(pods: &[(&str, Vec<CheckResult>)]) -> AgentLook {
    AgentLook {
        observed_at: at(60).into(),
        answered: Some("now".to_owned()),
        pods: pods
            .iter()
            .map(|(uid, checks)| PodLook {
                uid: (*uid).to_owned(),
                checks: checks.clone(),
                more: 0,
            })
            .collect(),
    }
}

/// What a migration to any node would be decided by.
fn without_target() -> Observed {
    let mut observed = unasked();
    observed.migration.spec.target = None;
    observed
}

fn names(pod: &PodVerdict) -> Vec<&str> {
    pod.checks.iter().map(|check| check.check.as_str()).collect()
}

fn one(pod: Known, look: &AgentLook) -> NodeReportStatus {
    let status = answer("n1", vec![pod], 2, look);
    assert_eq!(status.pods.len(), 1);
    status
}

#[test]
fn a_pod_against_which_nobody_has_anything_is_movable() {
    let known = known(&without_target()).unwrap();
    let status = one(known, &look(&[("source-uid", Vec::new())]));
    assert!(
        status.pods[0].movable && status.pods[0].checks.is_empty(),
        "{:?}",
        status.pods
    );
    let summary = status.summary.unwrap();
    assert_eq!(
        (
            summary.pods,
            summary.movable,
            summary.not_movable,
            summary.ignored
        ),
        (1, 1, 0, 2)
    );
    assert_eq!(status.observed_at.unwrap().0, at(60));
    assert_eq!(status.answered.as_deref(), Some("now"));
    assert!(status.agent.is_none());
}

#[test]
fn the_refusals_of_both_are_one_answer() {
    let mut observed = without_target();
    observed.source = Some(pod(|pod| {
        pod["spec"]["containers"][0]["tty"] = json!(true);
        pod["spec"]["hostNetwork"] = json!(true);
    }));
    let seen = vec![
        check("ProcessUninterruptible", Verdict::Warn),
        check("MptcpUnsupported", Verdict::Refuse),
    ];
    let status = one(known(&observed).unwrap(), &look(&[("source-uid", seen)]));
    let pod = &status.pods[0];
    assert!(!pod.movable);
    assert_eq!(
        names(pod),
        [
            "HostNamespaces",
            "Terminal",
            "MptcpUnsupported",
            "ProcessUninterruptible"
        ]
    );
    assert_eq!(status.summary.unwrap().not_movable, 1);
}

#[test]
fn a_refusal_of_the_agent_alone_is_one_and_a_warning_is_none() {
    let refused = look(&[("source-uid", vec![check("MptcpUnsupported", Verdict::Refuse)])]);
    assert!(!one(known(&without_target()).unwrap(), &refused).pods[0].movable);
    let warned = look(&[("source-uid", vec![check("ProcessUninterruptible", Verdict::Warn)])]);
    let status = one(known(&without_target()).unwrap(), &warned);
    assert!(status.pods[0].movable);
    assert_eq!(names(&status.pods[0]), ["ProcessUninterruptible"]);
}

#[test]
fn a_pod_at_which_the_agent_has_not_looked_is_not_called_movable() {
    let status = one(
        known(&without_target()).unwrap(),
        &look(&[("another", Vec::new())]),
    );
    let pod = &status.pods[0];
    assert!(!pod.movable);
    assert_eq!(names(pod), ["SourceAgentAnswers"]);
    assert!(pod.checks[0].message.contains("kubectl annotate nodereport n1"));
}

#[test]
fn what_the_agent_has_seen_of_a_pod_that_is_gone_is_not_listed() {
    let gone = look(&[("gone", vec![check("MptcpUnsupported", Verdict::Refuse)])]);
    let status = answer("n1", Vec::new(), 0, &gone);
    assert!(status.pods.is_empty());
    assert_eq!(status.summary.unwrap().pods, 0);
}

#[test]
fn a_pod_that_has_nowhere_to_go_is_not_movable() {
    let mut observed = without_target();
    observed.nodes.truncate(1);
    let status = one(known(&observed).unwrap(), &look(&[("source-uid", Vec::new())]));
    assert_eq!(names(&status.pods[0]), ["TargetNodes"]);
}

#[test]
fn pods_are_in_order_and_those_for_which_there_is_no_room_are_counted() {
    let pods = (0..600).rev().map(|number| Known {
        namespace: format!("ns{}", number % 3),
        name: format!("pod-{number:03}"),
        uid: number.to_string(),
        checks: Vec::new(),
    });
    let status = answer("n1", pods.collect(), 0, &look(&[("0", Vec::new())]));
    let summary = status.summary.unwrap();
    assert_eq!((summary.pods, summary.movable, summary.left_out), (600, 1, 88));
    assert!(status.pods.is_sorted_by_key(|pod| (&pod.namespace, &pod.name)));
}
