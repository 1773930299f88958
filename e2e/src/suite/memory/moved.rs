//! To and fro, with every page looked at after each move.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use godwit_crds::CopyMode;
use serde_json::json;

use super::usually;
use super::writer::Writer;
use crate::migration::told;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "checked memory of processes that fork, map, unmap and write all the time is whole after each of many moves",
    |lab| Box::pin(run(lab)),
)
.within(Duration::from_mins(30));

/// Between two moves: long enough for what is forked to come and go.
const REST: Duration = Duration::from_millis(500);

async fn run(lab: &Lab) -> Result<()> {
    let settings = [
        "memory=96M",
        "rate=30M",
        "threads=2",
        "processes=3",
        "churn=yes",
        "thirds=12M",
    ];
    let mut writer = Writer::start(lab, "n1", &settings).await?;
    writer.verify().await.context("before the first move")?;
    for number in 1..=usually(12, 100) {
        writer.gap().await?;
        let status = writer
            .moves(json!({"memory": "PreCopy"}))
            .await
            .with_context(|| format!("move {number}"))?;
        writer
            .goes_on()
            .await
            .with_context(|| format!("after move {number}"))?;
        let memory = status.source.as_ref().and_then(|source| source.memory.clone());
        let memory = memory.with_context(|| format!("nothing is said of the memory: {}", told(&status)))?;
        ensure!(
            memory.mode == Some(CopyMode::PreCopy) && memory.round > 0,
            "it was not copied ahead: {memory:?}"
        );
        println!(
            "        move {number}: gap inside {} ms, {} rounds, {} MB sent",
            writer.gap().await?.as_millis(),
            memory.round,
            status.source.map_or(0, |source| source.bytes_sent) / 1_000_000
        );
        tokio::time::sleep(REST).await;
    }
    Ok(())
}
