//! The log goes along.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::kubectl::{Follow, logs};
use super::numbers::from_one;
use crate::migration::{Migration, told};
use crate::suite::{Behaviour, Lab, workload_container};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "kubectl logs of the newest pod has each line of all its lives once and in order, also when it follows from the start",
    |lab| Box::pin(run(lab)),
);

/// Long enough for some hundred lines.
const WRITES_ON: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(30);
/// Container and the words by which its lines begin.
const LINES: [(&str, &str); 3] = [("whole", "out"), ("whole", "err"), ("halves", "half")];

async fn run(lab: &Lab) -> Result<()> {
    let spec = json!({"containers": [
        workload_container("whole", &["lines", "whole"]),
        workload_container("halves", &["lines", "halves"]),
    ]});
    lab.pod("subject", Some("n1"), spec).await?;
    let mut name = "subject".to_owned();
    let mut before = [0; LINES.len()];
    for (number, node) in ["n2", "n1", "n2", "n3"].into_iter().enumerate() {
        tokio::time::sleep(WRITES_ON).await;
        let migration = lab.migrate(&name, node).await?;
        name = target(lab, &migration).await?;
        lab.running(&name).await?;
        let follows = ["whole", "halves"].map(|container| Follow::start(lab, &name, container));
        let done = migration.succeeded().await?.status.unwrap_or_default();
        tokio::time::sleep(WRITES_ON).await;
        let [whole, halves] = follows;
        let followed = [whole?.shown()?, halves?.shown()?];
        let warnings: Vec<_> = done.source.iter().flat_map(|report| &report.warnings).collect();
        ensure!(warnings.is_empty(), "{warnings:?}");
        for (at, (container, word)) in LINES.into_iter().enumerate() {
            let wrong = || format!("move {} to {node}: {word}: {}", number + 1, told(&done));
            let text = logs(lab, &name, container).await?;
            let last = from_one(&text, word).with_context(wrong)?;
            ensure!(
                last > before[at] + 100,
                "{}: {last} lines after {}",
                wrong(),
                before[at]
            );
            let text = &followed[usize::from(container == "halves")];
            let seen = from_one(text, word)
                .with_context(wrong)
                .context("kubectl logs --follow")?;
            ensure!(
                seen > before[at],
                "kubectl logs --follow has shown only {seen} lines"
            );
            before[at] = last;
        }
        let freeze = done
            .source
            .and_then(|report| report.freeze)
            .map(|freeze| freeze.total);
        println!(
            "        to {node}: {before:?} lines, frozen for {}",
            freeze.unwrap_or_default()
        );
    }
    Ok(())
}

/// The name of the target pod, as soon as it has one.
async fn target(lab: &Lab, migration: &Migration) -> Result<String> {
    lab.until("a target pod", SOON, async || {
        let target = Migration::target_name(&migration.get().await?).ok();
        Ok(match target {
            Some(name) => lab.pods().get_opt(&name).await?.map(|_| name),
            None => None,
        })
    })
    .await
}
