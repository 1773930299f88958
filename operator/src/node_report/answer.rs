//! One answer for each pod, of what the operator knows and what the agent has seen. Pure.

use godwit_crds::checks::operator;
use godwit_crds::{
    AgentLook, CheckResult, LOOK_ANNOTATION, MAX_REPORT_PODS, NodeReportStatus, PodLook, PodVerdict,
    ReportSummary, Verdict, told,
};
use kube::ResourceExt;

use crate::facts::Observed;
use crate::preflight::{self, Check};

/// What the operator knows of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The operator's checks.
    pub checks: Vec<CheckResult>,
}

/// What the operator's checks say of the pod of a migration that nobody has made; `None` without a pod.
pub fn known(observed: &Observed) -> Option<Known> {
    let source = observed.source.as_ref()?;
    Some(Known {
        namespace: source.namespace().unwrap_or_default(),
        name: source.name_any(),
        uid: source.uid().unwrap_or_default(),
        checks: preflight::run(observed).iter().map(Check::result).collect(),
    })
}

/// The operator's part of a report's status: whether each pod could be moved, in the order of namespaces and names. `ignored` pods
/// are counted only.
pub fn answer(node: &str, mut pods: Vec<Known>, ignored: usize, look: &AgentLook) -> NodeReportStatus {
    pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    let count = pods.len();
    let mut verdicts: Vec<PodVerdict> = pods
        .into_iter()
        .map(|pod| {
            let seen = look.pods.iter().find(|seen| seen.uid == pod.uid);
            verdict(node, pod, seen, count)
        })
        .collect();
    let movable = verdicts.iter().filter(|pod| pod.movable).count();
    verdicts.truncate(MAX_REPORT_PODS);
    NodeReportStatus {
        observed_at: Some(look.observed_at.clone()),
        answered: look.answered.clone(),
        summary: Some(ReportSummary {
            pods: number(count),
            movable: number(movable),
            not_movable: number(count - movable),
            ignored: number(ignored),
            left_out: number(count - verdicts.len()),
        }),
        pods: verdicts,
        agent: None,
    }
}

fn verdict(node: &str, pod: Known, seen: Option<&PodLook>, pods: usize) -> PodVerdict {
    let (of_agent, before) = match seen {
        Some(seen) => (seen.checks.clone(), seen.more),
        None => (vec![unseen(node)], 0),
    };
    let all: Vec<CheckResult> = pod.checks.into_iter().chain(of_agent).collect();
    let movable = all.iter().all(|check| check.verdict != Verdict::Refuse);
    let (checks, more) = told(all, pods, before);
    PodVerdict {
        namespace: pod.namespace,
        name: pod.name,
        uid: pod.uid,
        movable,
        checks,
        more,
    }
}

/// A pod that is younger than the look, for example.
fn unseen(node: &str) -> CheckResult {
    CheckResult {
        check: operator::SOURCE_AGENT_ANSWERS.name.to_owned(),
        verdict: Verdict::Refuse,
        message: format!(
            "the agent of node {node} has not looked at this pod yet; to have it look now: kubectl annotate nodereport {node} --overwrite \
             {LOOK_ANNOTATION}=$(date +%s)"
        ),
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
