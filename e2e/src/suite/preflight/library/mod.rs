//! A library that the node gives to the pod, by CDI: the image does not have it, and no volume brings it along.

mod build;
mod nodes;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use godwit_crds::{MigrationPhase, PodMigrationStatus, Verdict};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};

use self::build::{CALLER_NAME, IN_CONTAINER, LACKING, OTHER, OWN};
use crate::images;
use crate::migration::{Migration, told};
use crate::suite::inside::exec;
use crate::suite::refusals::refused;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a pod with a library of its node moves where the same is, or another one is accepted, and stays where a call would fail",
    |lab| Box::pin(run(lab)),
);

/// Calls its functions when they are needed.
const LAZY: &str = "lazy";
/// Has bound all of them at its start.
const BOUND: &str = "bound";
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a migration may take that is refused when the agents are connected.
const CONNECTED: Duration = Duration::from_mins(1);

async fn run(lab: &Lab) -> Result<()> {
    let result = async {
        nodes::set_up(lab, &[LAZY, BOUND]).await?;
        for device in [LAZY, BOUND] {
            nodes::replace(lab, "n2", device, OTHER).await?;
        }
        tokio::try_join!(
            pod(lab, LAZY, json!([])),
            pod(lab, BOUND, json!([{"name": "LD_BIND_NOW", "value": "1"}]))
        )?;
        tokio::try_join!(lazy(lab), bound(lab))?;
        Ok(())
    };
    let result = result.await;
    nodes::clean_up(lab).await?;
    result
}

/// Refused as long as n2 has another one, or one that lacks what the program has not called yet; goes there with the same, and calls it there.
async fn lazy(lab: &Lab) -> Result<()> {
    let uid = lab.pods().get(LAZY).await?.uid();
    let to_n2 = json!({"podName": LAZY, "target": {"nodeName": "n2"}});
    let words = [
        "n2's libfoo.so.2 is another file",
        "caller (pid 1) of container app",
        "foo_new@FOO_2.4",
    ];
    refused(lab, to_n2.clone(), "HostFileDiffers", &words).await?;

    nodes::replace(lab, "n2", LAZY, LACKING).await?;
    let mut accepting = to_n2.clone();
    accepting["accept"] = json!(["HostFileDiffers"]);
    let lacks = ["n2's libfoo.so.2 lacks foo_new@FOO_2.4, which caller (pid 1) has not resolved yet"];
    refused(lab, accepting.clone(), "HostSymbolMissing", &lacks).await?;

    // Where the scheduler decides, they are compared when it has.
    accepting["target"] = json!({"nodeSelector": {"kubernetes.io/hostname": "n2"}});
    let migration = lab.migrate_with(accepting).await?;
    let status = migration.failed(CONNECTED).await?;
    ensure!(
        status.reason.as_deref() == Some("HostSymbolMissing")
            && status
                .message
                .as_deref()
                .is_some_and(|text| text.contains(lacks[0]))
            && status
                .timings
                .as_ref()
                .is_none_or(|timings| timings.freeze.is_none()),
        "not refused for the symbol before the freeze: {}",
        told(&status)
    );
    ensure!(lab.pods().get(LAZY).await?.uid() == uid, "the source was touched");
    says(lab, LAZY, "1 0").await?;

    nodes::replace(lab, "n2", LAZY, OWN).await?;
    let (status, target) = moved(lab, to_n2).await?;
    let passed = status
        .preflight
        .iter()
        .filter(|it| it.check.starts_with("Host") && it.verdict == Verdict::Pass);
    ensure!(
        passed.count() >= 4,
        "not all checks have passed: {:?}",
        status.preflight
    );
    exec(lab, &target, &["touch", "/tmp/call"]).await?;
    says(lab, &target, "1 2").await
}

/// Goes to n2 although there is another one, for its user accepts it; and calls that.
async fn bound(lab: &Lab) -> Result<()> {
    exec(lab, BOUND, &["touch", "/tmp/call"]).await?;
    says(lab, BOUND, "1 2").await?;
    let accepting = json!({"podName": BOUND, "target": {"nodeName": "n2"}, "accept": ["HostFileDiffers"]});
    let (status, target) = moved(lab, accepting).await?;
    let check = status.preflight.iter().find(|it| it.check == "HostFileDiffers");
    let check = check.context("the check is not in the list")?;
    ensure!(
        check.verdict == Verdict::Warn && check.message.contains("all its symbols are bound"),
        "{check:?}"
    );
    let warnings = status.source.map(|source| source.warnings).unwrap_or_default();
    ensure!(
        warnings
            .iter()
            .any(|text| text.contains("HostFileDiffers was accepted")),
        "no warning: {warnings:?}"
    );
    says(lab, &target, "11 12").await
}

/// Moves the pod; gives the migration's status and the name of the target pod.
async fn moved(lab: &Lab, spec: Value) -> Result<(PodMigrationStatus, String)> {
    let done = lab.migrate_with(spec).await?.succeeded().await?;
    let target = Migration::target_name(&done)?;
    let pod = lab.running(&target).await?;
    let restarts = pod
        .status
        .iter()
        .flat_map(|it| it.container_statuses.iter().flatten());
    ensure!(
        restarts.map(|it| it.restart_count).sum::<i32>() == 0,
        "the target was restarted"
    );
    let status = done.status.unwrap_or_default();
    ensure!(status.phase == MigrationPhase::Succeeded, "{}", told(&status));
    Ok((status, target))
}

async fn pod(lab: &Lab, device: &str, env: Value) -> Result<()> {
    let (key, value) = nodes::annotation(lab, device);
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": device, "annotations": {key: value}},
        "spec": {
            "nodeName": "n1", "terminationGracePeriodSeconds": 1,
            "containers": [{
                "name": "app", "image": images::redis::IMAGE, "imagePullPolicy": "Never",
                "command": [format!("{IN_CONTAINER}/{CALLER_NAME}")], "env": env,
            }],
        },
    }))?;
    lab.pods().create(&PostParams::default(), &pod).await?;
    lab.running(device).await?;
    says(lab, device, "1 0").await
}

/// Waits until the program says these values in two different rounds.
async fn says(lab: &Lab, pod: &str, values: &str) -> Result<()> {
    let mut first = None;
    lab.until(&format!("{pod} to say {values}"), PATIENCE, async || {
        let said = exec(lab, pod, &["cat", "/tmp/said"]).await.unwrap_or_default();
        let Some((round, found)) = said.trim().split_once(' ') else {
            return Ok(None);
        };
        let round = round.to_owned();
        if found != values {
            return Ok(None);
        }
        let before = first.get_or_insert_with(|| round.clone());
        Ok((*before != round).then_some(()))
    })
    .await
}
