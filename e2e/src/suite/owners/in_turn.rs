//! Every pod of a replica set moves, one after the other.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::ReplicationController;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use super::census::Census;
use super::replicas::{self, NAME};
use crate::suite::failures::subject::{SOON, Subject};
use crate::suite::{Behaviour, Lab, node_of};

pub(super) const DEPLOYMENT: Behaviour = Behaviour::new(
    "each pod of a deployment moves in turn, with its client, and its owner neither makes a pod nor has one too few",
    |lab| Box::pin(deployment(lab)),
);
pub(super) const WITHOUT_DEPLOYMENT: Behaviour = Behaviour::new(
    "a pod of a bare replica set and one of a replication controller move, there and back",
    |lab| Box::pin(without_deployment(lab)),
);

async fn deployment(lab: &Lab) -> Result<()> {
    let pods = replicas::deployment(lab).await?;
    // Both select the pods as the Deployment does.
    let budget: PodDisruptionBudget = serde_json::from_value(json!({
        "metadata": {"name": NAME}, "spec": {"minAvailable": 3, "selector": {"matchLabels": {"app": NAME}}},
    }))?;
    lab.api::<PodDisruptionBudget>()
        .create(&PostParams::default(), &budget)
        .await?;
    let scaler: HorizontalPodAutoscaler = serde_json::from_value(json!({
        "metadata": {"name": NAME},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
            "minReplicas": 3, "maxReplicas": 5,
        },
    }))?;
    lab.api::<HorizontalPodAutoscaler>()
        .create(&PostParams::default(), &scaler)
        .await?;
    let census = Census::begin(lab).await?;
    let mut subjects = replicas::subjects(lab, &pods).await?;
    for (subject, source) in subjects.iter_mut().zip(&pods) {
        subject.moves().await?;
        replicas::has_taken_over(&subject.pod().await?, source)?;
    }
    for subject in subjects {
        println!("        {}: {}", subject.name, subject.client());
        subject.leave().await?;
    }
    replicas::settled(lab, 3).await?;
    census.says(3, 0)?;
    let budgets = lab.api::<PodDisruptionBudget>();
    lab.until("a budget that counts three", SOON, async || {
        let status = budgets.get(NAME).await?.status.unwrap_or_default();
        Ok((status.expected_pods == Some(3) && status.current_healthy == Some(3)).then_some(()))
    })
    .await
}

async fn without_deployment(lab: &Lab) -> Result<()> {
    let first = replicas::replica_set(lab).await?;
    ensure!(
        !first
            .metadata
            .labels
            .iter()
            .flatten()
            .any(|(key, _)| key == "pod-template-hash"),
        "it has a template hash"
    );
    there_and_back(lab, &first).await.context("of a ReplicaSet")?;
    lab.api::<ReplicaSet>()
        .delete(NAME, &DeleteParams::background())
        .await?;
    nobody(lab).await?;
    let second = replicas::replication_controller(lab).await?;
    there_and_back(lab, &second)
        .await
        .context("of a ReplicationController")?;
    lab.api::<ReplicationController>()
        .delete(NAME, &DeleteParams::background())
        .await?;
    nobody(lab).await
}

async fn there_and_back(lab: &Lab, pod: &k8s_openapi::api::core::v1::Pod) -> Result<()> {
    let census = Census::begin(lab).await?;
    let mut subject = Subject::of(lab, pod, node_of(pod)?).await?;
    for _ in 0..2 {
        subject.moves().await?;
        replicas::has_taken_over(&subject.pod().await?, pod)?;
    }
    replicas::settled(lab, 1).await?;
    census.says(1, 0)?;
    subject.leave().await
}

/// Garbage collection takes what was adopted along with its owner.
async fn nobody(lab: &Lab) -> Result<()> {
    lab.until(
        "the end of the owner's pods",
        Duration::from_mins(1),
        async || Ok(replicas::counted(lab).await?.is_empty().then_some(())),
    )
    .await
}
