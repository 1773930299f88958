//! A Job's pod has done its work before the Job knows it under its new name.

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde_json::json;

use super::census::Census;
use super::counting_job::{began, complete, ended_what_began, start, stop};
use crate::migration::Migration;
use crate::suite::failures::fault;
use crate::suite::failures::subject::{gone, other};
use crate::suite::{Behaviour, Lab, node_of};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a job counts a pod that ends between its commit and its adoption",
    |lab| Box::pin(run(lab)),
);

async fn run(lab: &Lab) -> Result<()> {
    let source = start(lab, 1, &json!({})).await?.remove(0);
    let id = began(lab, &source).await?;
    let census = Census::begin(lab).await?;
    let node = node_of(&source)?.to_owned();
    // The target runs by then, and nobody adopts it before the source's agent has let go.
    fault::ask(lab.cluster(), &node, "source.Carry=hang:12")?;
    let migration = lab.migrate(&source.name_any(), &other(&node, 1)).await?;
    fault::reached(lab, &node).await?;
    let target = Migration::target_name(&migration.get().await?)?;
    lab.running(&target).await?;
    stop(lab, &target).await?;
    let pods = lab.pods();
    lab.until(
        "the end of the target's work",
        std::time::Duration::from_secs(10),
        async || {
            let pod = pods.get(&target).await?;
            let over = pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Succeeded");
            ensure!(
                !over || pod.owner_references().is_empty(),
                "it was adopted before it ended"
            );
            Ok(over.then_some(()))
        },
    )
    .await
    .context("before its adoption")?;
    let ended = migration.succeeded().await?.status.unwrap_or_default();
    ensure!(ended.reason.as_deref() == Some("Migrated"), "{:?}", ended.reason);
    complete(lab, 1).await?;
    gone(lab, &source.name_any()).await?;
    ended_what_began(lab, &target, &id).await?;
    census.says(0, 0)
}
