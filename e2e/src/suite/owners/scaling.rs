//! A Deployment is scaled while one of its pods is on its way.

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::json;

use super::census::Census;
use super::replicas::{self, NAME, PATIENCE};
use super::went_back::went_back;
use crate::migration::told;
use crate::suite::failures::fault;
use crate::suite::failures::subject::AMPLE;
use crate::suite::{Behaviour, Lab};

pub(super) const UP: Behaviour = Behaviour::new(
    "a deployment that is scaled up, by hand and by an autoscaler, during a migration gets its pods and keeps the moved one",
    |lab| Box::pin(up(lab)),
);
pub(super) const DOWN_TAKES_IT: Behaviour = Behaviour::new(
    "a scale-down that takes a pod on its way wins, and the migration ends cleanly",
    |lab| Box::pin(down_takes_it(lab)),
);
pub(super) const DOWN_TAKES_ANOTHER: Behaviour = Behaviour::new(
    "a scale-down that takes another pod does not break a migration",
    |lab| Box::pin(down_takes_another(lab)),
);
pub(super) const DOWN_AFTER_THE_COMMIT: Behaviour = Behaviour::new(
    "a scale-down after the commit leaves as many pods as are wanted, and none that is nobody's",
    |lab| Box::pin(down_after_the_commit(lab)),
);

async fn up(lab: &Lab) -> Result<()> {
    let pods = replicas::deployment(lab).await?;
    let census = Census::begin(lab).await?;
    let mut subjects = replicas::subjects(lab, &pods[..1]).await?;
    let subject = &mut subjects[0];
    let node = subject.node.clone();
    fault::ask(lab.cluster(), &node, "source.CopyFiles=hang:3")?;
    let migration = subject.departs().await?;
    fault::reached(lab, &node).await?;
    replicas::scale(lab, 4).await?;
    subject.arrives(&migration).await?;
    replicas::settled(lab, 4).await?;
    census.says(3, 1)?;
    // It scales to its minimum at its next look, whatever the metrics: somewhen in the next migration, or right after.
    let scaler: HorizontalPodAutoscaler = serde_json::from_value(json!({
        "metadata": {"name": NAME},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
            "minReplicas": 5, "maxReplicas": 6,
        },
    }))?;
    lab.api().create(&PostParams::default(), &scaler).await?;
    subject.moves().await?;
    let deployments = lab.api::<Deployment>();
    lab.until("the autoscaler to scale", PATIENCE, async || {
        let wanted = deployments.get(NAME).await?.spec.replicas;
        Ok((wanted == Some(5)).then_some(()))
    })
    .await?;
    let left = replicas::settled(lab, 5).await?;
    ensure!(
        left.iter().any(|pod| pod.name_any() == subject.name),
        "the moved pod is gone"
    );
    census.says(3, 2)?;
    for subject in subjects {
        subject.leave().await?;
    }
    Ok(())
}

async fn down_takes_it(lab: &Lab) -> Result<()> {
    let pods = replicas::deployment(lab).await?;
    let census = Census::begin(lab).await?;
    let mut subjects = replicas::subjects(lab, &pods).await?;
    let subject = subjects.remove(0);
    replicas::takes_first(lab, &subject.name).await?;
    fault::ask(lab.cluster(), &subject.node, "source.CopyFiles=hang:60")?;
    let migration = subject.departs().await?;
    fault::reached(lab, &subject.node).await?;
    replicas::scale(lab, 2).await?;
    let status = migration.failed(AMPLE).await?;
    println!("        {}", told(&status));
    went_back(lab, status, "SourceGone").await?;
    let left = replicas::settled(lab, 2).await?;
    ensure!(
        left.iter().all(|pod| pod.name_any() != subject.name),
        "another pod was taken"
    );
    census.says(2, 0)?;
    for other in subjects {
        other.untouched().await?;
        other.leave().await?;
    }
    Ok(())
}

async fn down_takes_another(lab: &Lab) -> Result<()> {
    let pods = replicas::deployment(lab).await?;
    let census = Census::begin(lab).await?;
    let mut subjects = replicas::subjects(lab, &pods[..1]).await?;
    replicas::takes_first(lab, &pods[1].name_any()).await?;
    let subject = &mut subjects[0];
    let node = subject.node.clone();
    fault::ask(lab.cluster(), &node, "source.CopyFiles=hang:3")?;
    let migration = subject.departs().await?;
    fault::reached(lab, &node).await?;
    replicas::scale(lab, 2).await?;
    subject.arrives(&migration).await?;
    let left = replicas::settled(lab, 2).await?;
    ensure!(
        left.iter().any(|pod| pod.name_any() == subject.name),
        "the moved pod is gone"
    );
    census.says(2, 0)?;
    for subject in subjects {
        subject.leave().await?;
    }
    Ok(())
}

async fn down_after_the_commit(lab: &Lab) -> Result<()> {
    let pods = replicas::deployment(lab).await?;
    let census = Census::begin(lab).await?;
    let subject = replicas::subjects(lab, &pods[..1]).await?.remove(0);
    replicas::takes_first(lab, &subject.name).await?;
    let node = subject.destination();
    fault::ask(lab.cluster(), &node, "target.AwaitVerdict=hang:3")?;
    let migration = subject.departs().await?;
    fault::reached(lab, &node).await?;
    replicas::scale(lab, 2).await?;
    let ended = migration.succeeded().await?.status.unwrap_or_default();
    println!("        {}", told(&ended));
    // The scale-down meant this workload, and gets it, be it as source or as target.
    let left = replicas::settled(lab, 2).await?;
    ensure!(
        left.iter()
            .all(|pod| pods[1..].iter().any(|old| old.uid() == pod.uid())),
        "another pod was taken"
    );
    census.says(2, 0)
}
