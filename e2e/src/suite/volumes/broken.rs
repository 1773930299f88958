//! An agent dies while a volume is being copied, and while its changes are.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::subject::{Writers, container};
use crate::migration::{Migration, told};
use crate::suite::failures::subject::{AMPLE, Identity, gone};
use crate::suite::failures::traces::Traces;
use crate::suite::failures::{agents, fault};
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "an agent that is killed while a volume is copied, before or in the freeze, leaves the source running and nothing behind",
    |lab| Box::pin(run(lab)),
)
.within(Duration::from_mins(8));

/// Which agent is killed, and at which step of the source.
const DEATHS: [(&str, &str); 4] = [
    ("n1", "CopyFiles"),
    ("n2", "CopyFiles"),
    ("n1", "CopyChanges"),
    ("n2", "CopyChanges"),
];

async fn run(lab: &Lab) -> Result<()> {
    let main = container(
        "main",
        7000,
        &["/disk/numbers", "/memory/numbers"],
        &[("disk", "/disk", ""), ("memory", "/memory", "")],
    );
    let spec = json!({
        "containers": [main],
        "volumes": [
            {"name": "disk", "emptyDir": {}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "32Mi"}},
        ],
    });
    let mut writers = Writers::start(lab, spec, &[7000]).await?;
    let before = writers.identity();
    for (node, step) in DEATHS {
        let traces = Traces::now(lab).await?;
        fault::ask(lab.cluster(), "n1", &format!("source.{step}=hang:4"))?;
        let migration = lab.migrate("writers", "n2").await?;
        fault::reached(lab, "n1").await.with_context(|| step.to_owned())?;
        agents::kill_agent(lab, node)?;
        let status = migration.failed(AMPLE).await.with_context(|| step.to_owned())?;
        println!("        {node} at {step}: {}", told(&status));
        agents::renew_agent(lab, node).await?;
        let target = Migration::target_name(&migration.get().await?)?;
        gone(lab, &target).await.context("the target is still there")?;
        let now = Identity::of(&lab.pods().get("writers").await?);
        ensure!(now == before, "the source was touched: {step} on {node}");
        writers
            .go_on()
            .await
            .with_context(|| format!("{step} on {node}"))?;
        traces.no_more(lab).await?;
    }
    writers.moves().await?;
    writers.go_on().await
}
