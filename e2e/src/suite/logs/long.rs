//! A log of some length, and what it costs.

use std::time::Duration;

use anyhow::{Context, Result};
use kube::ResourceExt;

use super::kubectl::logs;
use super::numbers::from_one;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour =
    Behaviour::new("a log of 8 MiB moves whole, again and again", |lab| {
        Box::pin(run(lab))
    });

/// Until what is written at once has been written.
const WRITES: Duration = Duration::from_secs(3);

async fn run(lab: &Lab) -> Result<()> {
    let mut pods = Vec::new();
    for mebibytes in ["0", "7"] {
        let name = format!("subject-{mebibytes}");
        lab.workload(&name, Some("n1"), &["lines", "much", mebibytes])
            .await?;
        pods.push((name, Vec::new()));
    }
    tokio::time::sleep(WRITES).await;
    for node in ["n2", "n1", "n2", "n1"] {
        for (name, freezes) in &mut pods {
            let migration = lab.migrate(name, node).await?;
            let status = migration.succeeded().await?.status.unwrap_or_default();
            *name = migration.target_pod(&lab.client()).await?.name_any();
            let text = logs(lab, name, "main").await?;
            for word in ["out", "err"] {
                from_one(&text, word).with_context(|| format!("{name} on {node}"))?;
            }
            let freeze = status.source.and_then(|report| report.freeze);
            freezes.push(freeze.map_or_else(String::new, |freeze| {
                format!("{} (commit {})", freeze.total, freeze.commit)
            }));
        }
    }
    // No claim: a machine that does other things beside is too uneven for one.
    for ((_, freezes), what) in pods.iter().zip(["no log to speak of", "8 MiB of log"]) {
        println!("        {what}, frozen for {}", freezes.join(", "));
    }
    Ok(())
}
