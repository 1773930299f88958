//! `spec.dryRun`: the verdict without the move.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use godwit_crds::{MigrationPhase, PodMigrationStatus, Verdict};
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::json;

use crate::migration::told;
use crate::suite::failures::subject::{Subject, redis_container};
use crate::suite::{Behaviour, Lab};

pub(super) const MOVABLE: Behaviour = Behaviour::new(
    "a dry run of a pod that can move says so and makes nothing",
    |lab| Box::pin(movable(lab)),
);
pub(super) const IMMOVABLE: Behaviour = Behaviour::new(
    "a dry run of a pod that cannot move says why and makes nothing",
    |lab| Box::pin(immovable(lab)),
);

const SECONDS: Duration = Duration::from_secs(10);

async fn movable(lab: &Lab) -> Result<()> {
    let subject = Subject::start(lab, "subject", "n1").await?;
    let before = pods(lab).await?;
    let status = dry_run(lab, json!({"podName": "subject"})).await?;
    ensure!(
        status.phase == MigrationPhase::Succeeded && status.reason.as_deref() == Some("DryRun"),
        "not a dry run that passed: {}",
        told(&status)
    );
    let refused = status.preflight.iter().any(|it| it.verdict == Verdict::Refuse);
    ensure!(!refused, "passed with a refusal: {:?}", status.preflight);
    // One of the operator's, one of the agent's.
    for name in ["Volumes", "Engine"] {
        let is_there = status.preflight.iter().any(|it| it.check == name);
        ensure!(is_there, "{name} is not in the list: {:?}", status.preflight);
    }
    ensure!(pods(lab).await? == before, "a dry run has made or deleted a pod");
    subject.untouched().await?;
    println!(
        "        {} checks in {}",
        status.preflight.len(),
        status.timings.and_then(|it| it.preflight).unwrap_or_default()
    );
    subject.end().await
}

async fn immovable(lab: &Lab) -> Result<()> {
    let mut container = redis_container();
    container["tty"] = json!(true);
    lab.pod("subject", Some("n1"), json!({"containers": [container]}))
        .await?;
    let before = pods(lab).await?;
    let status = dry_run(lab, json!({"podName": "subject"})).await?;
    ensure!(
        status.phase == MigrationPhase::Failed && status.reason.as_deref() == Some("TerminalUnsupported"),
        "not refused: {}",
        told(&status)
    );
    ensure!(pods(lab).await? == before, "a dry run has made or deleted a pod");
    Ok(())
}

async fn dry_run(lab: &Lab, mut spec: serde_json::Value) -> Result<PodMigrationStatus> {
    spec["dryRun"] = json!(true);
    let migration = lab.migrate_with(spec).await?;
    Ok(migration.ended(SECONDS).await?.status.unwrap_or_default())
}

async fn pods(lab: &Lab) -> Result<BTreeSet<String>> {
    let pods = lab.pods().list(&ListParams::default()).await?;
    Ok(pods.iter().map(ResourceExt::name_any).collect())
}
