//! To and fro under load, twenty times.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use super::snapshot;
use crate::suite::{Behaviour, Lab, address_of};
use crate::traffic::{Load, Redis};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "twenty moves to and fro keep nine connections from three nodes, and leave nothing behind",
    |lab| Box::pin(run(lab)),
)
.within(Duration::from_mins(12));

const NODES: [&str; 3] = ["n1", "n2", "n3"];

async fn run(lab: &Lab) -> Result<()> {
    // The first pod of a node makes the bridge; that is not Godwit's.
    for node in NODES {
        let name = format!("warm-{node}");
        lab.workload(&name, Some(node), &["serve"]).await?;
        lab.delete_pod(&name).await?;
    }
    let before = snapshot::take(lab).await?;
    let mut pod = lab.redis("redis", "n1").await?;
    let service = service(lab).await?;
    let data = Redis::fill(lab, &pod, 16).await?;
    let sum = data.sum(lab, &pod).await?;
    let direct = format!("{}:6379", address_of(&pod)?);
    let by_service = format!("{service}:6379");
    let mut loads = Vec::new();
    for node in NODES {
        let targets = [
            (format!("{node}-direct"), direct.clone()),
            (format!("{node}-service"), by_service.clone()),
            (format!("{node}-service-2"), by_service.clone()),
        ];
        loads.push(Load::start(lab, &format!("client-{node}"), node, &targets).await?);
    }
    for (number, node) in (1..=20).zip(["n2", "n1"].into_iter().cycle()) {
        let name = pod.metadata.name.clone().unwrap_or_default();
        pod = lab
            .moved(&name, node)
            .await
            .with_context(|| format!("move {number} to {node}"))?;
        for load in &loads {
            load.progress(lab)
                .await
                .with_context(|| format!("after move {number}"))?;
        }
    }
    ensure!(data.sum(lab, &pod).await? == sum, "the data is not what it was");
    let (mut connections, mut suffered) = (0, Vec::new());
    for load in &loads {
        for connection in load.stop(lab).await? {
            connections += 1;
            if let Err(error) = connection.is_whole() {
                suffered.push(error.to_string());
            }
        }
    }
    ensure!(suffered.is_empty(), "{}", suffered.join("; "));
    ensure!(connections == 9, "there were {connections} connections");
    let migrations: kube::Api<godwit_crds::PodMigration> = lab.api();
    migrations
        .delete_collection(&DeleteParams::default(), &kube::api::ListParams::default())
        .await?;
    lab.api::<Service>()
        .delete("redis", &DeleteParams::default())
        .await?;
    for node in NODES {
        lab.delete_pod(&format!("client-{node}")).await?;
    }
    lab.delete_pod(pod.metadata.name.as_deref().unwrap_or_default())
        .await?;
    snapshot::again(lab, &before).await
}

/// A Service in front of the pod; gives its address. It follows the pod by its label, which the target has too.
async fn service(lab: &Lab) -> Result<String> {
    let wanted = serde_json::from_value(json!({
        "metadata": {"name": "redis"},
        "spec": {"selector": {"app": "redis"}, "ports": [{"port": 6379}]},
    }))?;
    let made = lab
        .api::<Service>()
        .create(&PostParams::default(), &wanted)
        .await?;
    made.spec
        .and_then(|spec| spec.cluster_ip)
        .context("a Service without an address")
}
