//! `spec.memory` is obeyed, and said.

use anyhow::{Context, Result, ensure};
use godwit_crds::{CopyMode, TrackingMethod};
use serde_json::json;

use super::writer::Writer;
use crate::migration::told;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "memory moves in either mode, and status says by which and how",
    |lab| Box::pin(run(lab)),
);

async fn run(lab: &Lab) -> Result<()> {
    let mut writer = Writer::start(lab, "n1", &["memory=96M", "rate=5M", "churn=yes"]).await?;
    for (asked, expected) in [
        ("StopAndCopy", CopyMode::StopAndCopy),
        ("PreCopy", CopyMode::PreCopy),
    ] {
        let status = writer
            .moves(json!({"memory": asked}))
            .await
            .with_context(|| asked.to_owned())?;
        let memory = status.source.as_ref().and_then(|source| source.memory.clone());
        let memory =
            memory.with_context(|| format!("{asked}: nothing is said of memory: {}", told(&status)))?;
        ensure!(memory.mode == Some(expected), "{asked} became {memory:?}");
        if expected == CopyMode::PreCopy {
            ensure!(
                memory.method.is_some_and(|method| method != TrackingMethod::None)
                    && memory.bandwidth_bytes_per_second > 0
                    && !memory.rounds.is_empty(),
                "something is missing: {memory:?}"
            );
            ensure!(
                memory.rounds[0].bytes >= 96 << 20,
                "the first round is not all of it: {memory:?}"
            );
            let filled = status.target.as_ref().and_then(|target| target.memory.as_ref());
            ensure!(
                filled.is_some_and(|memory| memory.filled),
                "not filled in: {filled:?}"
            );
        }
        println!("        {asked}: {memory:?}");
    }
    Ok(())
}
