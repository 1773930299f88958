//! Where a pod goes if the migration does not name a node.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::suite::{Behaviour, Lab, node_of};

pub(super) const SCHEDULER: Behaviour =
    Behaviour::new("the scheduler chooses another node if none is given", |lab| {
        Box::pin(anywhere(lab))
    });
pub(super) const SELECTOR: Behaviour =
    Behaviour::new("a node selector chooses the node", |lab| Box::pin(selected(lab)));

const LABEL: &str = "e2e.godwit.dev/choice";

async fn anywhere(lab: &Lab) -> Result<()> {
    lab.workload("subject", Some("n1"), &["serve"]).await?;
    let migration = lab.migrate_with(json!({"podName": "subject"})).await?;
    migration.succeeded().await?;
    let target = migration.target_pod(&lab.client()).await?;
    ensure!(node_of(&target)? != "n1", "it is where it was");
    Ok(())
}

async fn selected(lab: &Lab) -> Result<()> {
    label(lab, json!("this")).await?;
    let result = to_the_labelled(lab).await;
    label(lab, Value::Null).await?;
    result
}

async fn to_the_labelled(lab: &Lab) -> Result<()> {
    lab.workload("subject", Some("n1"), &["serve"]).await?;
    let migration = lab
        .migrate_with(json!({"podName": "subject", "target": {"nodeSelector": {LABEL: "this"}}}))
        .await?;
    migration.succeeded().await?;
    let target = migration.target_pod(&lab.client()).await?;
    ensure!(node_of(&target)? == "n3", "it went to {}", node_of(&target)?);
    Ok(())
}

async fn label(lab: &Lab, value: Value) -> Result<()> {
    let patch = json!({"metadata": {"labels": {LABEL: value}}});
    Api::<Node>::all(lab.client())
        .patch("n3", &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(())
}
