//! A stateful set that changes its mind while a pod is on its way wins.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::set;
use crate::migration::{Migration, told};
use crate::suite::failures::fault;
use crate::suite::failures::subject::{AMPLE, gone, other};
use crate::suite::{Behaviour, Lab, node_of};

pub(super) const SCALED_BEFORE: Behaviour = Behaviour::new(
    "a stateful set that is scaled down before its pod has left takes it, and the migration ends cleanly",
    |lab| Box::pin(scaled_before(lab)),
);
pub(super) const SCALED_AFTER: Behaviour = Behaviour::new(
    "a stateful set that is scaled down while its pod is in a stand-in takes that, and nothing is left",
    |lab| Box::pin(scaled_after(lab)),
);
pub(super) const REVISED_BEFORE: Behaviour = Behaviour::new(
    "a new revision of a stateful set replaces a pod that has not left yet",
    |lab| Box::pin(revised_before(lab)),
);
pub(super) const REVISED_AFTER: Behaviour = Behaviour::new(
    "a new revision of a stateful set replaces a pod that is in a stand-in",
    |lab| Box::pin(revised_after(lab)),
);

const REVISION: &str = "controller-revision-hash";

async fn scaled_before(lab: &Lab) -> Result<()> {
    let pods = set::start(lab, 2).await?;
    let migration = leaves(lab, &pods[1]).await?;
    set::scale(lab, 1).await?;
    ends(lab, &migration, &["SourceGone", "OwnerWins"]).await?;
    set::ready(lab, 1).await?;
    set::scale(lab, 2).await?;
    set::ready(lab, 2).await.map(drop)
}

async fn scaled_after(lab: &Lab) -> Result<()> {
    let pods = set::start(lab, 2).await?;
    let migration = stands_in(lab, &pods[1]).await?;
    set::scale(lab, 1).await?;
    ends(lab, &migration, &["OwnerWins"]).await?;
    let left = set::ready(lab, 1).await?;
    ensure!(left[0].uid() == pods[0].uid(), "another pod was touched");
    set::scale(lab, 2).await?;
    set::ready(lab, 2).await.map(drop)
}

async fn revised_before(lab: &Lab) -> Result<()> {
    let pods = set::start(lab, 1).await?;
    let migration = leaves(lab, &pods[0]).await?;
    set::restart(lab).await?;
    ends(lab, &migration, &["SourceGone", "OwnerWins"]).await?;
    replaced(lab, &pods[0]).await
}

async fn revised_after(lab: &Lab) -> Result<()> {
    let pods = set::start(lab, 1).await?;
    let migration = stands_in(lab, &pods[0]).await?;
    set::restart(lab).await?;
    ends(lab, &migration, &["OwnerWins"]).await?;
    replaced(lab, &pods[0]).await
}

/// Waits until the set has a pod of another revision in the place of that one, and no other.
async fn replaced(lab: &Lab, old: &Pod) -> Result<()> {
    let revision = |pod: &Pod| pod.labels().get(REVISION).cloned();
    lab.until("the new revision", set::PATIENCE, async || {
        let new = lab.pods().get_opt("redis-0").await?;
        let new = new.and_then(|new| revision(&new));
        Ok((new.is_some() && new != revision(old)).then_some(()))
    })
    .await?;
    set::ready(lab, 1).await.map(drop)
}

/// A migration of that pod whose leg away hangs while it copies files.
async fn leaves(lab: &Lab, pod: &Pod) -> Result<Migration> {
    let (from, to) = (node_of(pod)?, other(node_of(pod)?, 1));
    fault::ask(lab.cluster(), from, "source.CopyFiles=hang:60")?;
    let migration = lab.migrate(&pod.name_any(), &to).await?;
    fault::reached(lab, from).await?;
    Ok(migration)
}

/// A migration of that pod whose leg home hangs while it copies files; the workload is in the stand-in.
async fn stands_in(lab: &Lab, pod: &Pod) -> Result<Migration> {
    // The agent of the destination is the source's only for the leg home.
    let to = other(node_of(pod)?, 1);
    fault::ask(lab.cluster(), &to, "source.CopyFiles=hang:60")?;
    let migration = lab.migrate(&pod.name_any(), &to).await?;
    fault::reached(lab, &to).await?;
    Ok(migration)
}

/// It fails for one of the reasons, and leaves neither stand-in nor guard.
async fn ends(lab: &Lab, migration: &Migration, reasons: &[&str]) -> Result<()> {
    let status = migration.failed(AMPLE).await?;
    println!("        {}", told(&status));
    let reason = status.reason.clone().unwrap_or_default();
    ensure!(reasons.contains(&reason.as_str()), "another reason: {reason}");
    for pod in status.legs.iter().filter_map(|leg| leg.pod.as_ref()) {
        if !pod.ends_with("-0") && !pod.ends_with("-1") {
            gone(lab, pod).await?;
        }
    }
    set::unguarded(lab).await
}
