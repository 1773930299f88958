//! Ephemeral containers, as `kubectl debug` adds them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use godwit_crds::Verdict;
use k8s_openapi::api::core::v1::Event;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

use super::{redis, status_of};
use crate::suite::failures::fault;
use crate::suite::failures::subject::Subject;
use crate::suite::{Behaviour, Lab, address_of};

pub(super) const MOVES: Behaviour = Behaviour::new(
    "a pod with an ephemeral container moves without it, and says so",
    |lab| Box::pin(moves(lab)),
);
pub(super) const STAYS: Behaviour = Behaviour::new(
    "an ephemeral container runs on when the freeze of its pod is rolled back",
    |lab| Box::pin(stays(lab)),
);

const PORT: u16 = 6390;

async fn moves(lab: &Lab) -> Result<()> {
    lab.redis("subject", "n1").await?;
    debug(lab, "subject").await?;
    let pod = lab.running("subject").await?;
    let mut subject = Subject::of(lab, &pod, "n1").await?;
    let migration = subject.departs().await?;
    let status = subject.arrives(&migration).await?;
    let check = status
        .preflight
        .iter()
        .find(|check| check.check == "EphemeralContainers");
    let check = check.context("ephemeral containers are not checked")?;
    ensure!(
        check.verdict == Verdict::Warn && check.message.contains("debugger"),
        "no warning: {check:?}"
    );
    let target = subject.pod().await?;
    let none = target.spec.iter().all(|spec| spec.ephemeral_containers.is_none());
    ensure!(none, "the target has an ephemeral container");
    let events = lab.api::<Event>();
    lab.until("the event", Duration::from_secs(20), async || {
        let all = events.list(&ListParams::default()).await?;
        let told = all
            .items
            .iter()
            .any(|event| event.reason.as_deref() == Some("EphemeralContainersDropped"));
        Ok(told.then_some(()))
    })
    .await?;
    subject.end().await
}

async fn stays(lab: &Lab) -> Result<()> {
    lab.redis("subject", "n1").await?;
    debug(lab, "subject").await?;
    let pod = lab.running("subject").await?;
    let subject = Subject::of(lab, &pod, "n1").await?;
    fault::ask(lab.cluster(), "n1", "source.AwaitPrepared=fail")?;
    let migration = subject.departs().await?;
    subject.stays(&migration).await?;
    fault::met(lab.cluster(), "n1")?;
    answers(lab, "subject").await.context("after a rollback")?;
    subject.end().await
}

/// Adds a debugging container with a Redis of its own, as `kubectl debug` does, and waits until it answers.
async fn debug(lab: &Lab, pod: &str) -> Result<()> {
    let patch = json!({"spec": {"ephemeralContainers": [redis("debugger", PORT)]}});
    lab.pods()
        .patch_ephemeral_containers(pod, &PatchParams::default(), &Patch::Strategic(patch))
        .await
        .context("add an ephemeral container")?;
    lab.until(
        "the ephemeral container to run",
        Duration::from_secs(30),
        async || {
            let found = lab.pods().get(pod).await?;
            let runs = status_of(&found, "debugger")
                .ok()
                .and_then(|status| status.state.as_ref()?.running.as_ref())
                .is_some();
            Ok(runs.then_some(()))
        },
    )
    .await?;
    answers(lab, pod).await
}

async fn answers(lab: &Lab, pod: &str) -> Result<()> {
    let host = address_of(&lab.pods().get(pod).await?)?.to_string();
    let port = PORT.to_string();
    let words = ["redis-cli", "-e", "-h", &host, "-p", &port, "ping"];
    lab.until(
        "an answer of the ephemeral container",
        Duration::from_secs(20),
        async || {
            let answer = lab.on_node("n1", &words, Duration::from_secs(5)).await;
            Ok(answer.ok().filter(|text| text.trim() == "PONG").map(|_| ()))
        },
    )
    .await
}
