//! A migration that comes to nothing leaves no trace in a log.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::kubectl::logs;
use super::numbers::from_one;
use crate::suite::failures::{fault, subject::AMPLE};
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a migration that fails in the freeze leaves the source's log whole",
    |lab| Box::pin(run(lab)),
);

async fn run(lab: &Lab) -> Result<()> {
    lab.workload("subject", Some("n1"), &["lines", "halves"]).await?;
    let mut last = 0;
    for step in ["Dump", "AwaitPrepared", "Commit"] {
        tokio::time::sleep(Duration::from_secs(1)).await;
        fault::ask(lab.cluster(), "n1", &format!("source.{step}=fail"))?;
        let failed = lab.migrate("subject", "n2").await?.failed(AMPLE).await;
        fault::met(lab.cluster(), "n1")?;
        failed?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let text = logs(lab, "subject", "main").await?;
        let now = from_one(&text, "half").with_context(|| format!("after a failure at {step}"))?;
        ensure!(now > last, "{now} lines after {last}");
        last = now;
    }
    Ok(())
}
