//! Nodes that cannot take a pod.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use godwit_crds::AGENT_READY_LABEL;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::refusal::refused;
use crate::suite::failures::agents::renew_agent;
use crate::suite::failures::subject::Subject;
use crate::suite::{Behaviour, Lab};

pub(super) const UNUSABLE: Behaviour = Behaviour::new(
    "a destination that is missing, not ready, cordoned or the source itself is refused",
    |lab| Box::pin(unusable(lab)),
);
pub(super) const WITHOUT_AGENT: Behaviour =
    Behaviour::new("a destination without an agent is refused", |lab| {
        Box::pin(without_agent(lab))
    });

/// A node that never was: an object alone, which the node controller finds not ready.
const GHOST: &str = "gwt-ghost";

async fn unusable(lab: &Lab) -> Result<()> {
    let nodes: Api<Node> = Api::all(lab.client());
    let subject = Subject::start(lab, "subject", "n1").await?;
    let to = |node: &str| json!({"podName": "subject", "target": {"nodeName": node}});
    refused(
        lab,
        to("n77"),
        "TargetNodeNotFound",
        &["n77", "spec.target.nodeName"],
    )
    .await?;
    refused(lab, to("n1"), "TargetIsSource", &["n1"]).await?;

    let ghost: Node = serde_json::from_value(json!({"metadata": {"name": GHOST}}))?;
    nodes
        .create(&PostParams::default(), &ghost)
        .await
        .context("create a node object")?;
    let not_ready = refused(lab, to(GHOST), "TargetNodeNotReady", &[GHOST, "kubelet"]).await;
    nodes.delete(GHOST, &DeleteParams::default()).await?;
    not_ready?;

    patch(&nodes, "n2", json!({"spec": {"unschedulable": true}})).await?;
    let cordoned = refused_with_reader(lab, to("n2"), "TargetNodeCordoned", &["n2", "uncordon"]).await;
    let selector =
        json!({"podName": "subject", "target": {"nodeSelector": {"kubernetes.io/hostname": "n2"}}});
    let selected = refused(lab, selector, "NoUsableNode", &["n2: cordoned", "nodeSelector"]).await;
    patch(&nodes, "n2", json!({"spec": {"unschedulable": null}})).await?;
    cordoned?;
    selected?;

    let nowhere = json!({"podName": "subject", "target": {"nodeSelector": {"disk": "gold"}}});
    refused(lab, nowhere, "NoUsableNode", &["nodeSelector"]).await?;
    subject.untouched().await?;
    subject.end().await
}

/// The operator reads nodes from its cache, which may be a moment behind the change that the test has just made.
async fn refused_with_reader(lab: &Lab, spec: Value, reason: &str, words: &[&str]) -> Result<()> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    refused(lab, spec, reason, words).await
}

async fn without_agent(lab: &Lab) -> Result<()> {
    let nodes: Api<Node> = Api::all(lab.client());
    let subject = Subject::start(lab, "subject", "n1").await?;
    patch(
        &nodes,
        "n2",
        json!({"metadata": {"labels": {AGENT_READY_LABEL: null}}}),
    )
    .await?;
    let spec = json!({"podName": "subject", "target": {"nodeName": "n2"}});
    let result = refused_with_reader(lab, spec, "TargetNodeWithoutAgent", &["n2", AGENT_READY_LABEL]).await;
    // The agent sets the label when it starts.
    renew_agent(lab, "n2").await?;
    result?;
    subject.untouched().await?;
    let labels = nodes.get("n2").await?.metadata.labels.unwrap_or_default();
    ensure!(
        labels.contains_key(AGENT_READY_LABEL),
        "the new agent did not set its label"
    );
    subject.end().await
}

async fn patch(nodes: &Api<Node>, name: &str, change: Value) -> Result<()> {
    nodes
        .patch(name, &PatchParams::default(), &Patch::Merge(change))
        .await?;
    Ok(())
}
