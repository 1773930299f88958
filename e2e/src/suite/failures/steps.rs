//! A failure at each step before the commit leaves the source running, and says which step it was.

use anyhow::{Context, Result, ensure};
use godwit_crds::MigrationPhase;

use super::fault;
use super::subject::{AMPLE, Subject};
use super::traces::Traces;
use crate::migration::told;
use crate::suite::{Behaviour, Lab};

/// The source's steps before its commit, in order.
pub const SOURCE: [&str; 12] = [
    "Discover",
    "Connect",
    "PrepareHold",
    "CopyFiles",
    "PrepareCheckpoint",
    "EndParking",
    "Freeze",
    "Hold",
    "Dump",
    "CopyChanges",
    "AwaitPrepared",
    "Commit",
];
/// The target's, likewise. From `AwaitVerdict` on, a failure there changes nothing: the source decides.
pub const TARGET: [&str; 9] = [
    "Accept",
    "MakeRecords",
    "EndParking",
    "AwaitParked",
    "PrepareAddress",
    "ApplyFiles",
    "Receive",
    "Restore",
    "Prepare",
];

pub(super) const AT_THE_SOURCE: Behaviour = Behaviour::new(
    "a failure at any step of the source before the commit leaves the pod where it was",
    |lab| Box::pin(each(lab, "source", &SOURCE)),
)
.within(std::time::Duration::from_mins(15));

pub(super) const AT_THE_TARGET: Behaviour = Behaviour::new(
    "a failure at any step of the target before the commit leaves the pod where it was",
    |lab| Box::pin(each(lab, "target", &TARGET)),
)
.within(std::time::Duration::from_mins(15));

async fn each(lab: &Lab, side: &str, steps: &[&str]) -> Result<()> {
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    let mut wrong = Vec::new();
    for step in steps {
        match one(&mut subject, side, step).await {
            Ok(()) => println!("        {side}.{step}: rolled back"),
            Err(error) => {
                println!("        {side}.{step}: {error:#}");
                wrong.push(format!("{side}.{step}: {error:#}"));
                // What follows would only repeat it.
                subject.untouched().await.with_context(|| wrong.join("; "))?;
            }
        }
    }
    subject.moves().await.context("after all the failures")?;
    subject.end().await?;
    ensure!(wrong.is_empty(), "{}", wrong.join("; "));
    Ok(())
}

async fn one(subject: &mut Subject<'_>, side: &str, step: &str) -> Result<()> {
    let cluster = subject.lab.cluster().clone();
    let before = Traces::now(subject.lab).await?;
    let node = if side == "source" {
        subject.node.clone()
    } else {
        subject.destination()
    };
    fault::ask(&cluster, &node, &format!("{side}.{step}=fail"))?;
    let migration = subject.departs().await?;
    let status = match migration.ended(AMPLE).await?.status {
        Some(status) if status.phase == MigrationPhase::Succeeded => {
            subject.arrives(&migration).await?;
            Err(anyhow::anyhow!("the pod moved all the same"))
        }
        _ => subject.stays(&migration).await,
    };
    fault::met(&cluster, &node)?;
    let status = status?;
    let source = status
        .source
        .as_ref()
        .context("the source's agent says nothing")?;
    ensure!(
        status.reason.as_deref() == Some("InjectedFault"),
        "another reason: {}",
        told(&status)
    );
    ensure!(
        source.step.as_deref() == Some(step),
        "another step: {}",
        told(&status)
    );
    ensure!(
        source.reason.as_deref() == Some("InjectedFault"),
        "the source's agent: {}",
        told(&status)
    );
    before.no_more(subject.lab).await
}
