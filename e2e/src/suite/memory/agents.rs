//! An agent is killed while memory is copied, in the freeze, and while it is filled in.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use super::writer::Writer;
use crate::migration::told;
use crate::suite::failures::agents::{agent_back, renew_agent};
use crate::suite::failures::fault;
use crate::suite::failures::traces::Traces;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "memory is whole although an agent is killed during its copy, the freeze or the fill",
    |lab| Box::pin(run(lab)),
)
.within(Duration::from_mins(12));

/// Before the commit: rolled back.
const BEFORE: [&str; 3] = ["source.CopyMemory", "source.FinalPages", "target.ReceivePages"];
/// After it: the target runs.
const AFTER: [&str; 1] = ["target.Fill"];

async fn run(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut writer = Writer::start(lab, "n1", &["memory=128M", "rate=30M", "churn=yes"]).await?;
    for step in BEFORE {
        let result = rolled_back(&writer, step, &before).await;
        renew_agent(lab, &place(&writer, step)?).await?;
        result.with_context(|| step.to_owned())?;
    }
    for step in AFTER {
        let node = place(&writer, step)?;
        let result = completed(&mut writer, step).await;
        renew_agent(lab, &node).await?;
        result.with_context(|| step.to_owned())?;
    }
    writer
        .moves(json!({"memory": "PreCopy"}))
        .await
        .context("after all that")?;
    writer.goes_on().await
}

async fn rolled_back(writer: &Writer<'_>, step: &str, before: &Traces) -> Result<()> {
    let (cluster, node) = (writer.lab.cluster(), place(writer, step)?);
    fault::ask(cluster, &node, &format!("{step}=kill"))?;
    let migration = writer.departs(json!({"memory": "PreCopy"})).await?;
    let stayed = writer.stays(&migration).await;
    fault::met(cluster, &node)?;
    println!("        {step}=kill: {}", told(&stayed?));
    agent_back(writer.lab, &node).await?;
    writer.goes_on().await?;
    before.no_more(writer.lab).await
}

async fn completed(writer: &mut Writer<'_>, step: &str) -> Result<()> {
    let (cluster, node) = (writer.lab.cluster(), place(writer, step)?);
    fault::ask(cluster, &node, &format!("{step}=kill"))?;
    let migration = writer.departs(json!({"memory": "PreCopy"})).await?;
    let arrived = writer.arrives(&migration).await;
    fault::met(cluster, &node)?;
    println!("        {step}=kill: {}", told(&arrived?));
    writer.verify().await?;
    writer.goes_on().await?;
    writer.untracked().await
}

/// The node whose agent does that.
fn place(writer: &Writer<'_>, step: &str) -> Result<String> {
    if step.starts_with("source.") {
        writer.node()
    } else {
        writer.destination()
    }
}
