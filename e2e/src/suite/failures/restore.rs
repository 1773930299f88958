//! A restore that dies half-way.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::fault;
use super::subject::Subject;
use super::traces::Traces;
use crate::migration::{Migration, PATIENCE, told};
use crate::suite::{Behaviour, Lab};

pub(super) const KILLED: Behaviour = Behaviour::new(
    "a restore that is killed half-way leaves the source running",
    |lab| Box::pin(killed(lab)),
);

async fn killed(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    // One that has everything and stands at its gate while the source is frozen.
    let others = lab.cluster().node("n2")?.pids_of("criu");
    fault::ask(lab.cluster(), "n2", "target.Restore=hang:2")?;
    let migration = subject.departs().await?;
    fault::reached(lab, "n2").await?;
    kill_criu(lab, &migration, &others).await?;
    let status = subject.stays(&migration).await?;
    println!("        {}", told(&status));
    let step = status.source.as_ref().and_then(|report| report.step.clone());
    ensure!(!step.context("no step")?.is_empty(), "no step: {}", told(&status));
    before.no_more(lab).await?;
    subject.moves().await.context("the next one")?;
    subject.end().await
}

/// The relay is called criu too, and all of them belong to this one restore.
async fn kill_criu(lab: &Lab, migration: &Migration, others: &[i32]) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    let node = lab.cluster().node("n2")?;
    loop {
        let mut found = node.pids_of("criu");
        found.retain(|pid| !others.contains(pid));
        if !found.is_empty() {
            for pid in found {
                // One that has ended by itself in this moment is no failure of the test.
                kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
            }
            return Ok(());
        }
        if Instant::now() > end {
            bail!(
                "no restore was ever seen on n2: {}",
                told(&migration.status().await?)
            );
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
