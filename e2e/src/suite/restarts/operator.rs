//! The operator is killed in the middle; the agents do not need it, and the next one goes on.

use anyhow::{Context, Result};
use godwit_crds::MigrationPhase;

use crate::migration::PATIENCE;
use crate::suite::failures::agents::{kill_operators, operator_back};
use crate::suite::failures::fault;
use crate::suite::failures::subject::Subject;
use crate::suite::{Behaviour, Lab};

pub(super) const MID_WAY: Behaviour = Behaviour::new(
    "a migration succeeds although the operator is killed in the middle of it",
    |lab| Box::pin(mid_way(lab)),
);

async fn mid_way(lab: &Lab) -> Result<()> {
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    // While the target pod is being prepared.
    let migration = subject.departs().await?;
    migration
        .until("planned", PATIENCE, |status| status.plan.is_some())
        .await?;
    kill_operators(lab)?;
    subject
        .arrives(&migration)
        .await
        .context("killed while preparing")?;
    operator_back(lab).await?;
    // While the agents work.
    let node = subject.node.clone();
    fault::ask(lab.cluster(), &node, "source.CopyFiles=hang:3")?;
    let migration = subject.departs().await?;
    migration.phase(MigrationPhase::Copying, PATIENCE).await?;
    fault::reached(lab, &node).await?;
    kill_operators(lab)?;
    subject
        .arrives(&migration)
        .await
        .context("killed while copying")?;
    operator_back(lab).await?;
    println!("        {}", subject.client());
    subject.end().await
}
