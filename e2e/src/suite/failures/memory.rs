//! No room for the images at the destination.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::subject::Subject;
use super::traces::Traces;
use crate::migration::told;
use crate::suite::{Behaviour, Lab};

pub(super) const FULL: Behaviour = Behaviour::new(
    "a destination without room for the images leaves the source running",
    |lab| Box::pin(full(lab)),
);

/// Takes all the room there is; few kilobytes stay so that records can still be written.
const FILL: &str = r"
room=$(df -k --output=avail /run/godwit | tail -1)
fallocate -l $(( (room - 200) * 1024 )) /run/godwit/gwt-fill
";

async fn full(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    lab.on_node("n2", &["sh", "-c", FILL], Duration::from_secs(30))
        .await?;
    let migration = subject.departs().await;
    let status = match &migration {
        Ok(migration) => subject.stays(migration).await,
        Err(error) => Err(anyhow::anyhow!("{error:#}")),
    };
    lab.on_node(
        "n2",
        &["rm", "-f", "/run/godwit/gwt-fill"],
        Duration::from_secs(30),
    )
    .await?;
    let status = status?;
    println!("        {}", told(&status));
    let message = status.message.clone().unwrap_or_default();
    ensure!(
        message.contains("No space left") || message.contains("room"),
        "nothing about room: {message}"
    );
    before.no_more(lab).await?;
    subject.moves().await.context("with room again")?;
    subject.end().await
}
