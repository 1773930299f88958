//! A failure at each step that memory adds, before the commit.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::writer::Writer;
use crate::migration::told;
use crate::suite::failures::fault;
use crate::suite::failures::traces::Traces;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a failure while memory is tracked, copied or received leaves the source whole and untracked",
    |lab| Box::pin(run(lab)),
)
.within(Duration::from_mins(6));

const STEPS: [&str; 4] = [
    "source.TrackMemory",
    "source.CopyMemory",
    "source.FinalPages",
    "target.ReceivePages",
];

async fn run(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut writer = Writer::start(lab, "n1", &["memory=64M", "rate=20M", "churn=yes"]).await?;
    for step in STEPS {
        one(&writer, step, &before)
            .await
            .with_context(|| step.to_owned())?;
    }
    writer
        .moves(json!({"memory": "PreCopy"}))
        .await
        .context("after all that")?;
    writer.goes_on().await
}

async fn one(writer: &Writer<'_>, step: &str, before: &Traces) -> Result<()> {
    let cluster = writer.lab.cluster();
    let node = if step.starts_with("source.") {
        writer.node()?
    } else {
        writer.destination()?
    };
    fault::ask(cluster, &node, &format!("{step}=fail"))?;
    let migration = writer.departs(json!({"memory": "PreCopy"})).await?;
    let stayed = writer.stays(&migration).await;
    fault::met(cluster, &node)?;
    let status = stayed?;
    println!("        {step}: {}", told(&status));
    ensure!(
        status.reason.as_deref() == Some("InjectedFault"),
        "another reason: {}",
        told(&status)
    );
    before.no_more(writer.lab).await
}
