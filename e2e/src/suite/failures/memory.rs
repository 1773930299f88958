//! No room for the images.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::subject::Subject;
use super::traces::Traces;
use crate::migration::told;
use crate::suite::{Behaviour, Lab};

pub(super) const FULL: Behaviour = Behaviour::new(
    "a destination without room for the images leaves the source running",
    |lab| Box::pin(full(lab)),
);

pub(super) const FULL_SOURCE: Behaviour = Behaviour::new(
    "a source without room for its images says so and runs on",
    |lab| Box::pin(full_source(lab)),
);

/// Takes all the room there is; few kilobytes stay so that records can still be written.
const FILL: &str = r"
room=$(df -k --output=avail /run/godwit | tail -1)
fallocate -l $(( (room - 200) * 1024 )) /run/godwit/gwt-fill
";

async fn full(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    fill(lab, "n2").await?;
    let migration = subject.departs().await;
    let status = match &migration {
        Ok(migration) => subject.stays(migration).await,
        Err(error) => Err(anyhow::anyhow!("{error:#}")),
    };
    make_room(lab, "n2").await?;
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

/// CRIU's log, runc's output and the supervisor's result lie where there is no room, and still the user is told.
async fn full_source(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    fill(lab, "n1").await?;
    let spec = json!({
        "podName": subject.name,
        "target": {"nodeName": subject.destination()},
        "timeout": "100s",
        "memory": "StopAndCopy",
    });
    let migration = lab.migrate_with(spec).await;
    let status = match &migration {
        Ok(migration) => subject.stays(migration).await,
        Err(error) => Err(anyhow::anyhow!("{error:#}")),
    };
    make_room(lab, "n1").await?;
    let status = status?;
    println!("        {}", told(&status));
    ensure!(
        status.reason.as_deref() == Some("NoSpaceForImages"),
        "another reason: {}",
        told(&status)
    );
    before.no_more(lab).await?;
    subject.moves().await.context("with room again")?;
    subject.end().await
}

async fn fill(lab: &Lab, node: &str) -> Result<()> {
    lab.on_node(node, &["sh", "-c", FILL], Duration::from_secs(30))
        .await?;
    Ok(())
}

async fn make_room(lab: &Lab, node: &str) -> Result<()> {
    let remove = ["rm", "-f", "/run/godwit/gwt-fill"];
    lab.on_node(node, &remove, Duration::from_secs(30)).await?;
    Ok(())
}
