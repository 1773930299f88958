//! An agent that is said to be there and does not answer.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::migration::told;
use crate::suite::failures::agents::agent_back;
use crate::suite::failures::subject::Subject;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "an agent that does not answer is named in time, and the pod stays",
    |lab| Box::pin(run(lab)),
);

/// What the operator waits, and what a slow machine adds.
const IN_TIME: Duration = Duration::from_secs(25);

async fn run(lab: &Lab) -> Result<()> {
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    let agents = lab.cluster().node("n1")?.pids_of("godwit-agent");
    ensure!(!agents.is_empty(), "no agent runs on n1");
    signal(&agents, Signal::SIGSTOP)?;
    let result = named(&subject).await;
    signal(&agents, Signal::SIGCONT)?;
    agent_back(lab, "n1").await?;
    result?;
    subject.moves().await.context("when the agent is back")?;
    subject.end().await
}

async fn named(subject: &Subject<'_>) -> Result<()> {
    let began = Instant::now();
    let migration = subject.departs().await?;
    let status = migration.failed(IN_TIME).await?;
    ensure!(
        status.reason.as_deref() == Some("SourceAgentSilent"),
        "another reason: {}",
        told(&status)
    );
    println!(
        "        after {} ms: {}",
        began.elapsed().as_millis(),
        told(&status)
    );
    let message = status.message.unwrap_or_default();
    ensure!(
        message.contains("n1") && message.contains("godwit-agent"),
        "{message}"
    );
    subject.untouched().await
}

fn signal(pids: &[i32], signal: Signal) -> Result<()> {
    for pid in pids {
        kill(Pid::from_raw(*pid), signal).with_context(|| format!("signal {pid}"))?;
    }
    Ok(())
}
