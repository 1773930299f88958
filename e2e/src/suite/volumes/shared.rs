//! Three processes of two containers write to volumes that they share, while the pod moves to and fro.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use super::subject::{Writers, container};
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "volumes on disk and in memory, shared by containers and mounted in parts, move with all that was written",
    |lab| Box::pin(run(lab)),
)
.within(Duration::from_mins(6));

const MOVES: u32 = 10;

async fn run(lab: &Lab) -> Result<()> {
    // Both containers see both volumes, the second one only a part of the disk; a volume that nobody mounts comes along as well.
    let app = container(
        "app",
        7000,
        &["/memory/app", "/disk/part/app"],
        &[("memory", "/memory", ""), ("disk", "/disk", "")],
    );
    let side = container(
        "side",
        7001,
        &["/mine/side", "/also/side"],
        &[("memory", "/also", ""), ("disk", "/mine", "part")],
    );
    let spec = json!({
        "securityContext": {"fsGroup": 2000},
        // In this order: kubelet makes the part of the disk when it starts the container that mounts it.
        "containers": [side, app],
        "volumes": [
            {"name": "disk", "emptyDir": {"sizeLimit": "256Mi"}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
            {"name": "unused", "emptyDir": {}},
        ],
    });
    let mut writers = Writers::start(lab, spec, &[7000, 7001]).await?;
    let began = Instant::now();
    for number in 1..=MOVES {
        writers.moves().await.with_context(|| format!("move {number}"))?;
        writers
            .go_on()
            .await
            .with_context(|| format!("after move {number}"))?;
    }
    println!(
        "        {MOVES} moves in {} s, {:?} numbers written",
        began.elapsed().as_secs(),
        writers.counted().await?
    );
    Ok(())
}
