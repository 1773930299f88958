//! A migration needs room for two pods.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::json;

use crate::suite::failures::subject::Subject;
use crate::suite::refusals::refused;
use crate::suite::{Behaviour, Lab};

pub(super) const NO_ROOM_FOR_TWO: Behaviour = Behaviour::new(
    "a quota without room for two pods refuses a migration and says so",
    |lab| Box::pin(run(lab)),
);

async fn run(lab: &Lab) -> Result<()> {
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    let quotas = lab.api::<ResourceQuota>();
    let quota = json!({"metadata": {"name": "one"}, "spec": {"hard": {"pods": "1"}}});
    quotas
        .create(&PostParams::default(), &serde_json::from_value(quota)?)
        .await?;
    // Until it is counted, nothing is admitted, in other words.
    counted(lab, "1").await?;
    let spec = json!({"podName": "subject", "target": {"nodeName": "n2"}});
    refused(
        lab,
        spec,
        "TargetRefused",
        &["exceeded quota: one", "raise the quota"],
    )
    .await?;
    subject.untouched().await?;
    let more = Patch::Merge(json!({"spec": {"hard": {"pods": "2"}}}));
    quotas.patch("one", &PatchParams::default(), &more).await?;
    counted(lab, "2").await?;
    subject.moves().await?;
    let used = quotas.get("one").await?.status.and_then(|status| status.used);
    ensure!(used.is_some(), "the quota counts nothing");
    subject.end().await
}

async fn counted(lab: &Lab, hard: &str) -> Result<()> {
    let quotas = lab.api::<ResourceQuota>();
    lab.until("the quota to be counted", Duration::from_secs(30), async || {
        let status = quotas.get("one").await?.status.unwrap_or_default();
        let hard_now = status.hard.unwrap_or_default().remove("pods");
        let used = status.used.unwrap_or_default().contains_key("pods");
        Ok((used && hard_now.is_some_and(|value| value.0 == hard)).then_some(()))
    })
    .await
}
