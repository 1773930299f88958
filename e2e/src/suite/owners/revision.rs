//! A Deployment gets a new revision while one of its pods is on its way.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::census::Census;
use super::replicas;
use super::went_back::went_back;
use crate::migration::told;
use crate::suite::failures::fault;
use crate::suite::failures::subject::AMPLE;
use crate::suite::{Behaviour, Lab};

pub(super) const BEFORE_THE_COMMIT: Behaviour = Behaviour::new(
    "a new revision that takes a pod on its way wins, and the migration ends cleanly",
    |lab| Box::pin(before_the_commit(lab)),
);
pub(super) const AFTER_THE_COMMIT: Behaviour = Behaviour::new(
    "a new revision after the commit takes the target as it would have taken the source",
    |lab| Box::pin(after_the_commit(lab)),
);

const HASH: &str = "pod-template-hash";

async fn before_the_commit(lab: &Lab) -> Result<()> {
    let pods = replicas::deployment(lab).await?;
    let census = Census::begin(lab).await?;
    let subject = replicas::subjects(lab, &pods[..1]).await?.remove(0);
    replicas::takes_first(lab, &subject.name).await?;
    fault::ask(lab.cluster(), &subject.node, "source.CopyFiles=hang:60")?;
    let migration = subject.departs().await?;
    fault::reached(lab, &subject.node).await?;
    replicas::restart(lab).await?;
    let status = migration.failed(AMPLE).await?;
    println!("        {}", told(&status));
    went_back(lab, status, "SourceGone").await?;
    rolled_out(lab, &pods).await?;
    // Three of the new revision, and none but for it.
    census.says(3, 3)
}

async fn after_the_commit(lab: &Lab) -> Result<()> {
    let pods = replicas::deployment(lab).await?;
    let census = Census::begin(lab).await?;
    let subject = replicas::subjects(lab, &pods[..1]).await?.remove(0);
    let node = subject.destination();
    fault::ask(lab.cluster(), &node, "target.AwaitVerdict=hang:3")?;
    let migration = subject.departs().await?;
    fault::reached(lab, &node).await?;
    replicas::restart(lab).await?;
    let ended = migration.succeeded().await?.status.unwrap_or_default();
    println!("        {}", told(&ended));
    rolled_out(lab, &pods).await?;
    census.says(3, 3)
}

/// Waits until nothing but three pods of the new revision is left.
pub(super) async fn rolled_out(lab: &Lab, old: &[Pod]) -> Result<()> {
    let before = old[0].labels().get(HASH).cloned();
    lab.until("the new revision", replicas::PATIENCE, async || {
        let pods = replicas::counted(lab).await?;
        let new = pods
            .iter()
            .filter(|pod| pod.labels().get(HASH).cloned() != before)
            .count();
        Ok((new == 3).then_some(()))
    })
    .await?;
    let left = replicas::settled(lab, 3).await?;
    ensure!(
        left.iter().all(|pod| pod.labels().get(HASH).cloned() != before),
        "one of the old revision is left"
    );
    Ok(())
}
