//! Cancelled while memory is under way, with the application tracked.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::writer::Writer;
use crate::migration::told;
use crate::suite::failures::traces::Traces;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a migration that is cancelled while memory is copied leaves the source whole and untracked",
    |lab| Box::pin(run(lab)),
);

/// How long it may take until progress is told: once a second.
const TOLD: Duration = Duration::from_secs(40);

async fn run(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut writer = Writer::start(lab, "n1", &["memory=256M", "rate=5M", "churn=yes"]).await?;
    // Slow enough to be met half-way.
    let migration = writer
        .departs(json!({"memory": "PreCopy", "bandwidth": "10M"}))
        .await?;
    let seen = migration
        .until("copying memory", TOLD, |status| {
            let memory = status.source.as_ref().and_then(|source| source.memory.as_ref());
            memory.is_some_and(|memory| memory.bytes_done > 0 && memory.bytes_left > 0)
        })
        .await?;
    let memory = seen.status.and_then(|status| status.source?.memory);
    println!("        cancelled at {memory:?}");
    migration.cancel().await?;
    let status = writer.stays(&migration).await?;
    ensure!(
        status.reason.as_deref() == Some("Cancelled"),
        "another reason: {}",
        told(&status)
    );
    before.no_more(lab).await?;
    writer.goes_on().await?;
    writer
        .moves(json!({"memory": "PreCopy"}))
        .await
        .context("after that")?;
    Ok(())
}
