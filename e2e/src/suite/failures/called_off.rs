//! Cancelled or deleted, in each phase.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use godwit_crds::MigrationPhase;

use super::fault;
use super::subject::{SOON, Subject};
use super::traces::Traces;
use crate::migration::{Migration, PATIENCE, told};
use crate::suite::{Behaviour, Lab};

pub(super) const CANCELLED: Behaviour = Behaviour::new(
    "a migration can be cancelled in each phase before the commit",
    |lab| Box::pin(cancelled(lab)),
)
.within(Duration::from_mins(8));
pub(super) const DELETED: Behaviour = Behaviour::new(
    "a migration can be deleted in each phase before the commit",
    |lab| Box::pin(deleted(lab)),
)
.within(Duration::from_mins(8));

/// In words, where it is held up meanwhile (node and fault; nothing does it in the first), and the phase to be seen first.
type Moment = (&'static str, Option<(&'static str, &'static str)>, MigrationPhase);
const MOMENTS: [Moment; 6] = [
    ("at once", None, MigrationPhase::Pending),
    ("while preparing", None, MigrationPhase::Preparing),
    (
        "while copying",
        Some(("n1", "source.CopyFiles=hang:20")),
        MigrationPhase::Copying,
    ),
    (
        "in the freeze",
        Some(("n1", "source.Dump=hang:20")),
        MigrationPhase::Switching,
    ),
    (
        "in the restore",
        Some(("n2", "target.Restore=hang:20")),
        MigrationPhase::Switching,
    ),
    (
        "just before the commit",
        Some(("n1", "source.AwaitPrepared=hang:20")),
        MigrationPhase::Switching,
    ),
];

async fn cancelled(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    for (moment, hold, phase) in MOMENTS {
        let migration = held(&subject, hold, phase).await.context(moment)?;
        migration.cancel().await?;
        let status = subject.stays(&migration).await.context(moment)?;
        took_back(lab, hold)?;
        println!("        cancelled {moment}: {}", told(&status));
        ensure!(
            status.reason.as_deref() == Some("Cancelled"),
            "{moment}: another reason: {}",
            told(&status)
        );
        before.no_more(lab).await.context(moment)?;
    }
    subject.moves().await.context("after all that")?;
    subject.end().await
}

async fn deleted(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    for (moment, hold, phase) in MOMENTS {
        let migration = held(&subject, hold, phase).await.context(moment)?;
        migration.delete().await?;
        let name = migration.name().to_owned();
        let migrations = lab.api::<godwit_crds::PodMigration>();
        lab.until("the end of the deleted migration", SOON, async || {
            Ok(migrations.get_opt(&name).await?.is_none().then_some(()))
        })
        .await
        .context(moment)?;
        took_back(lab, hold)?;
        subject.untouched().await.context(moment)?;
        let pods = lab.pods().list(&kube::api::ListParams::default()).await?;
        ensure!(
            pods.items.len() == 1,
            "{moment}: a pod is left besides the source"
        );
        before.no_more(lab).await.context(moment)?;
        println!("        deleted {moment}: the source runs on");
    }
    subject.moves().await.context("after all that")?;
    subject.end().await
}

/// A migration of the subject that has come to that phase.
async fn held(subject: &Subject<'_>, hold: Option<(&str, &str)>, phase: MigrationPhase) -> Result<Migration> {
    if let Some((node, fault)) = hold {
        fault::ask(subject.lab.cluster(), node, fault)?;
    }
    let migration = subject.departs().await?;
    match hold {
        Some((node, _)) => fault::reached(subject.lab, node).await?,
        None if phase != MigrationPhase::Pending => {
            let what = format!("in {phase:?} or later");
            migration
                .until(&what, PATIENCE, |status| status.plan.is_some())
                .await?;
        }
        None => {}
    }
    Ok(migration)
}

fn took_back(lab: &Lab, hold: Option<(&str, &str)>) -> Result<()> {
    hold.map_or(Ok(()), |(node, _)| fault::take_back(lab.cluster(), node))
}
