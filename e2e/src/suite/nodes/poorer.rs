//! A processor that lacks what the source's has.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use godwit_crds::{CPU_CLASS_LABEL, Verdict};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, ResourceExt};
use serde_json::json;

use super::fake::{Fake, facts};
use crate::suite::failures::subject::Subject;
use crate::suite::refusals::refused;
use crate::suite::{Behaviour, Lab, node_of};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a node with a poorer processor is never chosen, refused by what it lacks, and taken if that is accepted",
    |lab| Box::pin(run(lab)),
);

/// Pods that the scheduler sends where it wants: one more than chance would spare.
const PODS: [&str; 3] = ["one", "two", "three"];

async fn run(lab: &Lab) -> Result<()> {
    let cpu = facts(lab, "n1")
        .await?
        .cpu
        .context("n1 says nothing of its processor")?;
    let missing: Vec<String> = cpu.features.iter().take(2).cloned().collect();
    ensure!(missing.len() == 2, "n1's processor has no features: {cpu}");
    let fake = Fake::begin(lab, "n2", &missing).await?;
    let tried = tried(lab, &missing, &cpu.class()).await;
    fake.end(lab).await?;
    tried
}

async fn tried(lab: &Lab, missing: &[String], class: &str) -> Result<()> {
    let nodes: Api<Node> = Api::all(lab.client());
    let poorer = nodes.get("n2").await?;
    let poorer = poorer
        .labels()
        .get(CPU_CLASS_LABEL)
        .context("n2 has no class")?
        .as_str();
    ensure!(poorer != class, "n2 is poorer and of the same class");

    let mut subject = Subject::start(lab, "subject", "n1").await?;
    let spec = json!({"podName": "subject", "target": {"nodeName": "n2"}});
    let words = [
        "n2",
        &missing[0],
        &missing[1],
        class,
        "CpuIncompatible in spec.accept",
    ];
    refused(lab, spec.clone(), "CpuIncompatible", &words).await?;
    let selector =
        json!({"podName": "subject", "target": {"nodeSelector": {"kubernetes.io/hostname": "n2"}}});
    refused(
        lab,
        selector,
        "NoUsableNode",
        &["n2", &missing[0], "CpuIncompatible"],
    )
    .await?;
    subject.untouched().await?;

    try_join_all(PODS.map(|pod| anywhere(lab, pod, poorer))).await?;

    let mut accepting = spec;
    accepting["accept"] = json!(["CpuIncompatible"]);
    let migration = lab.migrate_with(accepting).await?;
    let status = subject.arrives(&migration).await?;
    ensure!(subject.node == "n2", "it went to {}", subject.node);
    let check = status.preflight.iter().find(|it| it.check == "CpuIncompatible");
    let check = check.context("the check is not in the list")?;
    ensure!(
        check.verdict == Verdict::Warn && check.message.contains("accepted"),
        "{check:?}"
    );
    subject.end().await
}

/// A pod on n1 that may go anywhere goes to n3, and the scheduler had no choice.
async fn anywhere(lab: &Lab, pod: &str, poorer: &str) -> Result<()> {
    lab.workload(pod, Some("n1"), &["serve"]).await?;
    let migration = lab.migrate_with(json!({"podName": pod})).await?;
    migration.succeeded().await?;
    let target = migration.target_pod(&lab.client()).await?;
    ensure!(node_of(&target)? == "n3", "{pod} went to {}", node_of(&target)?);
    let affinity = serde_json::to_string(&target.spec.unwrap_or_default().affinity)?;
    ensure!(
        affinity.contains(poorer),
        "the scheduler may choose {poorer}: {affinity}"
    );
    Ok(())
}
