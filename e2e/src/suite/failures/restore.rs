//! A restore that dies half-way.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::fault;
use super::subject::Subject;
use super::traces::Traces;
use crate::migration::{Migration, told};
use crate::suite::{Behaviour, Lab};

pub(super) const KILLED: Behaviour = Behaviour::new(
    "a restore that is killed half-way leaves the source running",
    |lab| Box::pin(killed(lab)),
);

/// What the target's agent is about to do while CRIU stands at its gate: the images are still on their way, and they are there.
const STEPS: [&str; 2] = ["Receive", "Restore"];

async fn killed(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    for step in STEPS {
        fault::ask(lab.cluster(), "n2", &format!("target.{step}=hang:2"))?;
        let migration = subject.departs().await?;
        fault::reached(lab, "n2").await?;
        kill_criu(lab, &migration).await?;
        let status = subject.stays(&migration).await?;
        println!("        killed at {step}: {}", told(&status));
        let step = status.source.as_ref().and_then(|report| report.step.clone());
        ensure!(!step.context("no step")?.is_empty(), "no step: {}", told(&status));
        before.no_more(lab).await?;
    }
    subject.moves().await.context("the next one")?;
    subject.end().await
}

/// The relay is called criu too, and all of them belong to this one restore.
async fn kill_criu(lab: &Lab, migration: &Migration) -> Result<()> {
    let found = lab.cluster().node("n2")?.pids_of("criu");
    ensure!(
        !found.is_empty(),
        "no restore is to be seen on n2: {}",
        told(&migration.status().await?)
    );
    for pid in found {
        // One that has ended by itself in this moment is no failure of the test.
        kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
    }
    Ok(())
}
