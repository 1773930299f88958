//! A log is worth a warning, not a migration.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Event;
use kube::ResourceExt;
use kube::api::ListParams;

use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a log that cannot be read is a warning in status and event, and the pod moves all the same",
    |lab| Box::pin(run(lab)),
);

const LIMIT: Duration = Duration::from_secs(20);

async fn run(lab: &Lab) -> Result<()> {
    let pod = lab.workload("subject", Some("n1"), &["lines", "whole"]).await?;
    let directory = format!(
        "/var/log/pods/{}_subject_{}",
        lab.namespace(),
        pod.uid().context("a pod without UID")?
    );
    lab.on_node("n1", &["rm", &format!("{directory}/main/0.log")], LIMIT)
        .await?;
    let status = lab.migrate("subject", "n2").await?.succeeded().await?.status;
    let warnings = status
        .and_then(|status| status.source)
        .unwrap_or_default()
        .warnings;
    ensure!(
        warnings
            .iter()
            .any(|warning| warning.contains("container main: the log")),
        "no warning: {warnings:?}"
    );
    lab.until("the event", LIMIT, async || {
        let events = lab.api::<Event>().list(&ListParams::default()).await?;
        let told = |event: &Event| event.reason.as_deref() == Some("MovedWithWarning");
        Ok(events.iter().any(told).then_some(()))
    })
    .await
}
