//! Several processes, with shared memory of all kinds between them and beside them.

use anyhow::{Context, Result, ensure};
use godwit_crds::CopyMode;
use serde_json::json;

use super::writer::{Writer, container};
use crate::suite::moves::fine;
use crate::suite::{Behaviour, Lab, workload_container};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "shared memory and SysV objects are whole beside memory that was copied ahead",
    |lab| Box::pin(run(lab)),
);

async fn run(lab: &Lab) -> Result<()> {
    let shared = workload_container("shared", &["shm", "7000"]);
    let writing = container(&["memory=64M", "rate=20M", "processes=4", "churn=yes"]);
    let pod = lab
        .pod("writer", Some("n1"), json!({"containers": [shared, writing]}))
        .await?;
    let mut writer = Writer::of(lab, pod).await?;
    fine(lab, &writer.pod).await?;
    for number in 1..=2 {
        let status = writer.moves(json!({"memory": "PreCopy"})).await?;
        let memory = status
            .source
            .and_then(|source| source.memory)
            .context("no memory in the status")?;
        ensure!(memory.mode == Some(CopyMode::PreCopy), "{memory:?}");
        fine(lab, &writer.pod)
            .await
            .with_context(|| format!("after move {number}"))?;
        writer
            .goes_on()
            .await
            .with_context(|| format!("after move {number}"))?;
    }
    Ok(())
}
