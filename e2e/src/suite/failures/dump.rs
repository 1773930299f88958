//! A process that CRIU cannot dump: refused by CRIU in the freeze, with its own words in the status.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::subject::{AMPLE, Identity, gone};
use super::traces::Traces;
use crate::migration::told;
use crate::suite::lab::workload_container;
use crate::suite::{Behaviour, Lab};

pub(super) const REFUSED_BY_CRIU: Behaviour = Behaviour::new(
    "a process that CRIU cannot dump stays, and the status has CRIU's own line",
    |lab| Box::pin(refused_by_criu(lab)),
);

/// A process in a namespace of its own inside the container's, which CRIU does not dump.
const SCRIPT: &str = "unshare -u sleep 100000 & while true; do sleep 0.2; done";

async fn refused_by_criu(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut container = workload_container("main", &[]);
    container["command"] = json!(["sh", "-c", SCRIPT]);
    container["securityContext"] = json!({"capabilities": {"add": ["SYS_ADMIN"]}});
    let pod = lab
        .pod("subject", Some("n1"), json!({"containers": [container]}))
        .await?;
    lab.on_node("n1", &["sleep", "1"], Duration::from_secs(5)).await?;
    let migration = lab.migrate("subject", "n2").await?;
    let status = migration.failed(AMPLE).await?;
    println!("        {}", told(&status));
    let now = lab.pods().get("subject").await?;
    ensure!(Identity::of(&now) == Identity::of(&pod), "the source was touched");
    let source = status
        .source
        .as_ref()
        .context("the source's agent says nothing")?;
    ensure!(
        source.step.as_deref() == Some("Dump"),
        "another step: {}",
        told(&status)
    );
    let message = status.message.clone().unwrap_or_default();
    ensure!(
        message.contains("nested uts namespace"),
        "no line of CRIU's: {message}"
    );
    if let Some(target) = status
        .plan
        .as_ref()
        .and_then(|plan| plan.target_pod_name.as_deref())
    {
        gone(lab, target).await?;
    }
    before.no_more(lab).await
}
