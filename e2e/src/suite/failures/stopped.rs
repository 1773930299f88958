//! A process that is stopped after preflight has looked, for which CRIU would wait without end.

use anyhow::{Result, ensure};
use serde_json::json;

use super::fault;
use super::subject::{AMPLE, Identity, gone};
use super::traces::Traces;
use crate::images;
use crate::migration::told;
use crate::suite::inside::exec;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a process that is stopped in the last moment costs the migration, and the pod stands still for seconds only",
    |lab| Box::pin(run(lab)),
);

const SCRIPT: &str = "sleep 100000 & echo $! > /tmp/child; wait";

async fn run(lab: &Lab) -> Result<()> {
    let container = json!({
        "name": "main", "image": images::workload::IMAGE, "imagePullPolicy": "Never", "command": ["sh", "-c", SCRIPT],
    });
    let pod = lab
        .pod("subject", Some("n1"), json!({"containers": [container]}))
        .await?;
    let before = Traces::now(lab).await?;
    fault::ask(lab.cluster(), "n1", "source.Freeze=hang:5")?;
    // Far less than this, and the timeout would end it, too.
    let migration = lab
        .migrate_with(json!({"podName": "subject", "target": {"nodeName": "n2"}, "timeout": "10m"}))
        .await?;
    let reached = fault::reached(lab, "n1").await;
    fault::take_back(lab.cluster(), "n1")?;
    reached?;
    let signal = |name: &str| format!("kill -{name} $(cat /tmp/child)");
    exec(lab, "subject", &["sh", "-c", &signal("STOP")]).await?;
    let status = migration.failed(AMPLE).await?;
    println!("        {}", told(&status));
    ensure!(
        status.reason.as_deref() == Some("DumpStalled"),
        "another reason: {}",
        told(&status)
    );
    let now = lab.pods().get("subject").await?;
    ensure!(Identity::of(&now) == Identity::of(&pod), "the source was touched");
    if let Some(target) = status.plan.and_then(|plan| plan.target_pod_name) {
        gone(lab, &target).await?;
    }
    before.no_more(lab).await?;
    // It goes on where it was, and moves.
    exec(lab, "subject", &["sh", "-c", &signal("CONT")]).await?;
    lab.moved("subject", "n2").await?;
    Ok(())
}
