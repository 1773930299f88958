//! A number of Redis pods behind a Deployment or something like it, with a client on each.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::census::counts;
use crate::images;
use crate::suite::failures::agents::is_ready;
use crate::suite::failures::subject::Subject;
use crate::suite::{Lab, node_of, rollout};

/// Name of everything here, and value of the pods' label `app`.
pub(super) const NAME: &str = "shop";
/// How long a few pods may take to be there, or to be gone.
pub(super) const PATIENCE: Duration = Duration::from_secs(100);

/// What the pods are made from.
fn template() -> Value {
    json!({
        "metadata": {"labels": {"app": NAME, "team": "e2e"}},
        "spec": {"containers": [{
            "name": "redis", "image": images::redis::IMAGE, "imagePullPolicy": "Never",
            "ports": [{"containerPort": 6379}],
            "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
        }]},
    })
}

/// Makes a Deployment of three, and waits for its pods.
pub(super) async fn deployment(lab: &Lab) -> Result<Vec<Pod>> {
    let wanted: Deployment = serde_json::from_value(json!({
        "metadata": {"name": NAME},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": NAME}}, "template": template()},
    }))?;
    lab.api::<Deployment>()
        .create(&PostParams::default(), &wanted)
        .await?;
    ready(lab, 3).await
}

/// Makes a ReplicaSet of one that no Deployment has made, whose pods have no template hash.
pub(super) async fn replica_set(lab: &Lab) -> Result<Pod> {
    let wanted: ReplicaSet = serde_json::from_value(json!({
        "metadata": {"name": NAME},
        "spec": {
            "replicas": 1, "template": template(),
            "selector": {"matchExpressions": [{"key": "app", "operator": "In", "values": [NAME]}]},
        },
    }))?;
    lab.api::<ReplicaSet>()
        .create(&PostParams::default(), &wanted)
        .await?;
    Ok(ready(lab, 1).await?.remove(0))
}

/// Makes a ReplicationController of one.
pub(super) async fn replication_controller(lab: &Lab) -> Result<Pod> {
    let wanted: ReplicationController = serde_json::from_value(json!({
        "metadata": {"name": NAME},
        "spec": {"replicas": 1, "selector": {"app": NAME}, "template": template()},
    }))?;
    lab.api::<ReplicationController>()
        .create(&PostParams::default(), &wanted)
        .await?;
    Ok(ready(lab, 1).await?.remove(0))
}

/// Waits until exactly that many pods count and are Ready; gives them.
pub(super) async fn ready(lab: &Lab, count: usize) -> Result<Vec<Pod>> {
    lab.until(&format!("{count} pods of {NAME}"), PATIENCE, async || {
        let pods = counted(lab).await?;
        Ok((pods.len() == count && pods.iter().all(is_ready)).then_some(pods))
    })
    .await
}

/// The pods that their owner counts now.
pub(super) async fn counted(lab: &Lab) -> Result<Vec<Pod>> {
    let pods = lab.pods().list(&ListParams::default()).await?;
    Ok(pods.items.into_iter().filter(counts).collect())
}

/// Waits until exactly those pods of the owner's are left in the namespace, and no other.
pub(super) async fn settled(lab: &Lab, count: usize) -> Result<Vec<Pod>> {
    let left = ready(lab, count).await?;
    lab.until("the end of all other pods", PATIENCE, async || {
        let all = lab.pods().list(&ListParams::default()).await?.items;
        Ok((all.len() == count).then_some(()))
    })
    .await?;
    Ok(left)
}

/// A client on each of those pods.
pub(super) async fn subjects<'a>(lab: &'a Lab, pods: &[Pod]) -> Result<Vec<Subject<'a>>> {
    let mut subjects = Vec::new();
    for pod in pods {
        subjects.push(Subject::of(lab, pod, node_of(pod)?).await?);
    }
    Ok(subjects)
}

/// Changes how many are wanted.
pub(super) async fn scale(lab: &Lab, replicas: i32) -> Result<()> {
    rollout::scale(&lab.api::<Deployment>(), NAME, replicas).await
}

/// What `kubectl rollout restart` does.
pub(super) async fn restart(lab: &Lab) -> Result<()> {
    rollout::restart(&lab.api::<Deployment>(), NAME).await
}

/// Asks the owner to take that pod first when it takes one.
pub(super) async fn takes_first(lab: &Lab, pod: &str) -> Result<()> {
    let cost = json!({"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "-100"}}});
    lab.pods()
        .patch(pod, &PatchParams::default(), &Patch::Merge(cost))
        .await?;
    Ok(())
}

/// Fails unless a target has what its source had of its owner, and nothing of Godwit's way there.
pub(super) fn has_taken_over(target: &Pod, source: &Pod) -> Result<()> {
    ensure!(
        target.owner_references() == source.owner_references(),
        "the target's owners are {:?}",
        target.owner_references()
    );
    ensure!(
        target.finalizers() == source.finalizers(),
        "{:?}",
        target.finalizers()
    );
    for (key, value) in source
        .labels()
        .iter()
        .filter(|(key, _)| !key.starts_with("godwit.dev/"))
    {
        let found = target
            .labels()
            .get(key)
            .with_context(|| format!("the target lacks label {key}"))?;
        ensure!(found == value, "label {key} is {found}");
    }
    let own = target.annotations();
    ensure!(!own.contains_key("godwit.dev/withheld"), "{own:?}");
    let cost = |pod: &Pod| {
        pod.annotations()
            .get("controller.kubernetes.io/pod-deletion-cost")
            .cloned()
    };
    ensure!(
        cost(target) == cost(source),
        "the target has a deletion cost: {own:?}"
    );
    Ok(())
}
