//! A log that kubelet has rotated.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;

use super::kubectl::logs;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "of a log that kubelet has rotated, what kubectl logs has shown moves",
    |lab| Box::pin(run(lab)),
);

/// kubelet looks every ten seconds for logs of more than 10 MiB.
const ROTATES_WITHIN: Duration = Duration::from_mins(1);
const WRITES: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(20);

async fn run(lab: &Lab) -> Result<()> {
    let pod = lab
        .workload("subject", Some("n1"), &["lines", "much", "20"])
        .await?;
    let directory = format!(
        "/var/log/pods/{}_subject_{}/main",
        lab.namespace(),
        pod.uid().context("a pod without UID")?
    );
    lab.until("kubelet to rotate the log", ROTATES_WITHIN, async || {
        let files = lab.on_node("n1", &["ls", &directory], LIMIT).await?;
        Ok((files.lines().count() > 1).then_some(()))
    })
    .await?;
    // The file that the old one made room for.
    tokio::time::sleep(WRITES).await;
    let before = logs(lab, "subject", "main").await?;
    ensure!(
        !before.is_empty() && !before.starts_with("out 1 "),
        "the log was not rotated"
    );
    let target = lab.moved("subject", "n2").await?.name_any();
    tokio::time::sleep(WRITES).await;
    let after = logs(lab, &target, "main").await?;
    ensure!(
        after.len() > before.len() && after.starts_with(&before),
        "{} bytes became {}, which begin by {:?} instead of {:?}",
        before.len(),
        after.len(),
        after.lines().next(),
        before.lines().next()
    );
    Ok(())
}
