//! A program that writes each number up to a thousand is moved while it does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::subject::{Writers, container};
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a program that counts to a thousand into a file of a volume is moved five times, and each number is there once",
    |lab| Box::pin(run(lab)),
);

const LIMIT: u64 = 1000;

async fn run(lab: &Lab) -> Result<()> {
    let main = container(
        "main",
        7000,
        &["limit=1000", "/data/numbers"],
        &[("data", "/data", "")],
    );
    let spec = json!({"containers": [main], "volumes": [{"name": "data", "emptyDir": {}}]});
    let mut writers = Writers::start(lab, spec, &[7000]).await?;
    for number in 1..=5 {
        writers.moves().await.with_context(|| format!("move {number}"))?;
        writers
            .counted()
            .await
            .with_context(|| format!("after move {number}"))?;
    }
    let counted = lab
        .until("the last number", Duration::from_secs(30), async || {
            let counted = writers.counted().await?;
            Ok((counted[0] >= LIMIT).then_some(counted))
        })
        .await?;
    ensure!(counted == [LIMIT], "{counted:?} numbers instead of {LIMIT}");
    Ok(())
}
