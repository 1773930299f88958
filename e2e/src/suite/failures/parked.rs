//! What kubelet would restart is killed while it parks.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use godwit_crds::MigrationPhase;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::fault;
use super::subject::{AMPLE, Subject};
use super::traces::Traces;
use crate::migration::{PATIENCE, told};
use crate::suite::{Behaviour, Lab};

pub(super) const KILLED: Behaviour = Behaviour::new(
    "a parked container that is killed costs the migration at most, never the source",
    |lab| Box::pin(killed(lab)),
);

async fn killed(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    fault::ask(lab.cluster(), "n1", "source.CopyFiles=hang:5")?;
    let migration = subject.departs().await?;
    migration.phase(MigrationPhase::Copying, PATIENCE).await?;
    fault::reached(lab, "n1").await?;
    let parked = lab.cluster().node("n2")?.pids_of(".godwit-park");
    ensure!(!parked.is_empty(), "nothing parks on n2");
    for pid in parked {
        kill(Pid::from_raw(pid), Signal::SIGKILL).context("kill the parking process")?;
    }
    // Kubelet parks the pod again if there is time; either end is legal, and neither may cost the source anything.
    let status = migration.ended(AMPLE).await?.status.unwrap_or_default();
    println!("        {}", told(&status));
    match status.phase {
        MigrationPhase::Failed => {
            subject.stays(&migration).await?;
        }
        MigrationPhase::Succeeded => {
            subject.arrives(&migration).await?;
        }
        other => bail!("over in phase {other:?}"),
    }
    migration.delete().await?;
    tokio::time::sleep(Duration::from_secs(1)).await;
    before.no_more(lab).await.or_else(|error| match status.phase {
        // The address is carried on for the open connection.
        MigrationPhase::Succeeded => Ok(()),
        _ => Err(error),
    })?;
    subject.moves().await?;
    subject.end().await
}
