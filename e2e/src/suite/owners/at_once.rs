//! A Deployment whose pods move in turn while everything that happens to Deployments happens to it.

use anyhow::{Context, Result, ensure};
use godwit_crds::MigrationPhase;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use super::census::Census;
use super::replicas::{self, NAME, PATIENCE};
use super::revision::rolled_out;
use super::went_back::went_back;
use crate::migration::told;
use crate::suite::failures::fault;
use crate::suite::failures::subject::{AMPLE, Subject, other};
use crate::suite::{Behaviour, Lab, node_of};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "each pod of a deployment moves in turn while it is scaled by hand and by an autoscaler and restarted, and three are ready at every moment",
    |lab| Box::pin(run(lab)),
)
.within(std::time::Duration::from_mins(6));

/// Long enough for the owner to act while the pod is on its way.
const HANGS: &str = "source.CopyFiles=hang:3";

async fn run(lab: &Lab) -> Result<()> {
    let pods = replicas::deployment(lab).await?;
    let census = Census::begin(lab).await?;
    let mut subjects = replicas::subjects(lab, &pods).await?;
    let [first, second, third] = subjects.as_mut_slice() else {
        anyhow::bail!("{} pods", subjects.len());
    };
    let up = moves_while(lab, first, async || replicas::scale(lab, 4).await);
    up.await.context("scaled up")?;
    let by_itself = moves_while(lab, second, async || by_autoscaler(lab, 5).await);
    by_itself.await.context("scaled by an autoscaler")?;
    replicas::ready(lab, 5).await?;
    lab.api::<HorizontalPodAutoscaler>()
        .delete(NAME, &DeleteParams::default())
        .await?;
    let ours = [&first.name, &second.name, &third.name];
    for pod in replicas::counted(lab).await? {
        if !ours.contains(&&pod.name_any()) {
            replicas::takes_first(lab, &pod.name_any()).await?;
        }
    }
    let down = moves_while(lab, third, async || replicas::scale(lab, 3).await);
    down.await.context("scaled down")?;
    let left = replicas::settled(lab, 3).await?;
    census.says(3, 2)?;
    for subject in subjects {
        let is_there = left.iter().any(|pod| pod.name_any() == subject.name);
        ensure!(is_there, "the moved pod {} is gone", subject.name);
        println!("        {}: {}", subject.name, subject.client());
        subject.leave().await?;
    }

    let pod = left.first().context("no pod")?;
    let node = node_of(pod)?;
    fault::ask(lab.cluster(), node, HANGS)?;
    let migration = lab.migrate(&pod.name_any(), &other(node, 1)).await?;
    fault::reached(lab, node).await?;
    replicas::restart(lab).await?;
    // Whichever comes first: the new revision takes the source, or the target.
    let status = migration.ended(AMPLE).await?.status.unwrap_or_default();
    println!("        restarted: {}", told(&status));
    if status.phase != MigrationPhase::Succeeded {
        went_back(lab, status, "SourceGone").await?;
    }
    rolled_out(lab, &left).await?;
    census.says(3, 5)?;
    census.ready(3)
}

/// Moves it, and has something done to its owner while it is on its way.
async fn moves_while(
    lab: &Lab,
    subject: &mut Subject<'_>,
    change: impl AsyncFnOnce() -> Result<()>,
) -> Result<()> {
    let node = subject.node.clone();
    fault::ask(lab.cluster(), &node, HANGS)?;
    let migration = subject.departs().await?;
    fault::reached(lab, &node).await?;
    change().await?;
    subject.arrives(&migration).await?;
    Ok(())
}

/// It scales to its minimum at its next look, whatever the metrics.
async fn by_autoscaler(lab: &Lab, least: i32) -> Result<()> {
    let scaler: HorizontalPodAutoscaler = serde_json::from_value(json!({
        "metadata": {"name": NAME},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
            "minReplicas": least, "maxReplicas": 6,
        },
    }))?;
    lab.api().create(&PostParams::default(), &scaler).await?;
    let deployments = lab.api::<Deployment>();
    lab.until("the autoscaler to scale", PATIENCE, async || {
        let wanted = deployments.get(NAME).await?.spec.replicas;
        Ok((wanted == Some(least)).then_some(()))
    })
    .await
}
