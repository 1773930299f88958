//! The connections between the agents break while memory is copied.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, ResourceExt as _};
use serde_json::json;

use super::writer::Writer;
use crate::suite::failures::agents::{NAMESPACE, agent_of};
use crate::suite::failures::link;
use crate::suite::failures::traces::Traces;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a link that is cut for a while when half of the memory is copied costs time, and nothing is copied again",
    |lab| Box::pin(run(lab)),
);

const MEMORY: u64 = 256 << 20;
/// How long it may take until half of it is there.
const HALF: Duration = Duration::from_mins(1);
/// Longer than a connection lives without an answer (5 s until TCP gives up, 10 s until the agents do), shorter than an agent dials again (20 s).
const CUT: Duration = Duration::from_secs(14);

async fn run(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut writer = Writer::start(lab, "n1", &["memory=256M", "rate=1M"]).await?;
    // Slow enough to be met half-way.
    let migration = writer
        .departs(json!({"memory": "PreCopy", "bandwidth": "20M"}))
        .await?;
    migration
        .until("half of the memory to be there", HALF, |status| {
            let memory = status.source.as_ref().and_then(|source| source.memory.as_ref());
            memory.is_some_and(|memory| memory.bytes_done >= MEMORY / 2)
        })
        .await?;
    link::drop_all(lab, "n1").await?;
    tokio::time::sleep(CUT).await;
    link::mend(lab, "n1").await?;
    let status = writer.arrives(&migration).await?;
    writer.verify().await?;
    let sent = status.source.map_or(0, |source| source.bytes_sent.unsigned_abs());
    println!("        {} MiB sent of {}", sent >> 20, MEMORY >> 20);
    ensure!(
        sent >= MEMORY,
        "only {sent} bytes were sent: the memory cannot be compressed"
    );
    ensure!(
        sent < MEMORY / 4 * 5,
        "{sent} bytes were sent: it was begun again"
    );
    ensure!(dialled_again(lab).await?, "no connection broke");
    lab.delete_pod(&writer.pod.name_any()).await?;
    before.no_more(lab).await
}

/// Whether the source's agent says so in its log.
async fn dialled_again(lab: &Lab) -> Result<bool> {
    let agent = agent_of(lab, "n1").await?.context("no agent on n1")?;
    let name = agent.metadata.name.context("no name")?;
    let pods: Api<Pod> = Api::namespaced(lab.client(), NAMESPACE);
    let recent = LogParams {
        since_seconds: Some(120),
        ..LogParams::default()
    };
    Ok(pods.logs(&name, &recent).await?.contains("dialled again"))
}
