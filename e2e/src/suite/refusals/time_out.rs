//! A time limit that is shorter than the work.

use anyhow::{Context, Result, ensure};
use godwit_crds::SourceState;

use super::refusal::says;
use crate::suite::failures::fault;
use crate::suite::failures::subject::Subject;
use crate::suite::failures::traces::Traces;
use crate::suite::{Behaviour, Lab};

pub(super) const TOO_SHORT: Behaviour = Behaviour::new(
    "a migration that takes longer than its timeout is rolled back, also from the freeze",
    |lab| Box::pin(too_short(lab)),
);

async fn too_short(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    // No work at all fits in; then some that is held up while the source runs; then while it is frozen.
    for (timeout, fault) in [
        ("1ms", None),
        ("6s", Some("source.CopyFiles=hang:60")),
        ("6s", Some("target.Receive=hang:60")),
    ] {
        let node = if fault.is_some_and(|fault| fault.starts_with("target")) {
            "n2"
        } else {
            "n1"
        };
        if let Some(fault) = fault {
            fault::ask(lab.cluster(), node, fault)?;
        }
        let migration = subject.departs_within(timeout).await?;
        let status = subject.stays(&migration).await;
        if fault.is_some() {
            fault::met(lab.cluster(), node)?;
        }
        let status = status.with_context(|| format!("{timeout} {fault:?}"))?;
        says(&status, "TimedOut", &["spec.timeout"])?;
        println!(
            "        {timeout} {}: {}",
            fault.unwrap_or("-"),
            status.message.unwrap_or_default()
        );
        ensure!(
            fault.is_none()
                || status
                    .source
                    .is_some_and(|source| source.state != SourceState::Looked),
            "the source's agent said nothing"
        );
        before.no_more(lab).await?;
    }
    subject.moves().await.context("with enough time")?;
    subject.end().await
}
