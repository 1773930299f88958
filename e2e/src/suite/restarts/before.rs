//! An agent is killed before the commit: the source runs on, and the new agent says what happened.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::migration::told;
use crate::suite::failures::agents::{agent_back, renew_agent};
use crate::suite::failures::fault;
use crate::suite::failures::subject::Subject;
use crate::suite::failures::traces::Traces;
use crate::suite::{Behaviour, Lab};

pub(super) const SOURCE_AGENT: Behaviour = Behaviour::new(
    "a source agent that is killed before the commit comes back to a source that runs",
    |lab| Box::pin(source(lab)),
)
.within(Duration::from_mins(12));
pub(super) const TARGET_AGENT: Behaviour = Behaviour::new(
    "a target agent that is killed before everything is held costs the migration, not the source",
    |lab| Box::pin(target(lab)),
)
.within(Duration::from_mins(12));

async fn source(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    let mut wrong = Vec::new();
    for step in [
        "CopyFiles",
        "PrepareCheckpoint",
        "EndParking",
        "Freeze",
        "Hold",
        "Dump",
        "AwaitPrepared",
        "Commit",
    ] {
        let result = killed(&subject, "n1", &format!("source.{step}=kill"), &before).await;
        renew_agent(lab, "n1").await?;
        report(&subject, &format!("source.{step}"), result, &mut wrong).await?;
    }
    subject.moves().await.context("after all that")?;
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    subject.end().await
}

async fn target(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    let mut wrong = Vec::new();
    for step in [
        "Accept",
        "MakeRecords",
        "AwaitParked",
        "ApplyFiles",
        "Receive",
        "Restore",
        "Prepare",
    ] {
        let result = killed(&subject, "n2", &format!("target.{step}=kill"), &before).await;
        renew_agent(lab, "n2").await?;
        report(&subject, &format!("target.{step}"), result, &mut wrong).await?;
    }
    subject.moves().await.context("after all that")?;
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    subject.end().await
}

async fn killed(subject: &Subject<'_>, node: &str, fault: &str, before: &Traces) -> Result<()> {
    let lab = subject.lab;
    fault::ask(lab.cluster(), node, fault)?;
    let migration = subject.departs().await?;
    let status = subject.stays(&migration).await;
    fault::met(lab.cluster(), node)?;
    let status = status?;
    println!("        {fault}: {}", told(&status));
    if fault.starts_with("source.") {
        let source = status
            .source
            .as_ref()
            .context("the source's agent says nothing")?;
        ensure!(
            source.resumed,
            "the agent does not say that it was restarted: {}",
            told(&status)
        );
        ensure!(
            status.reason.as_deref() == Some("AgentRestarted"),
            "another reason: {}",
            told(&status)
        );
    }
    agent_back(lab, node).await?;
    before.no_more(lab).await
}

async fn report(
    subject: &Subject<'_>,
    step: &str,
    result: Result<()>,
    wrong: &mut Vec<String>,
) -> Result<()> {
    if let Err(error) = result {
        println!("        {step}: {error:#}");
        wrong.push(format!("{step}: {error:#}"));
        // What follows would only repeat it.
        subject.untouched().await.with_context(|| wrong.join("; "))?;
    }
    Ok(())
}
