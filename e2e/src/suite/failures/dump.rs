//! A process that CRIU cannot dump, though it was told to try: refused by CRIU in the freeze, with its own words in the status.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::subject::{AMPLE, Identity, gone};
use super::traces::Traces;
use crate::migration::told;
use crate::suite::lab::workload_container;
use crate::suite::refusals::refused;
use crate::suite::{Behaviour, Lab};

pub(super) const REFUSED_BY_CRIU: Behaviour = Behaviour::new(
    "a process that CRIU cannot dump stays, and the status has CRIU's own line",
    |lab| Box::pin(refused_by_criu(lab)),
);

async fn refused_by_criu(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    // The kernel's answer on a netlink socket, which CRIU cannot take along if nobody reads it: known before, but a risk that can be accepted.
    let container = workload_container("main", &["unread"]);
    let pod = lab
        .pod("subject", Some("n1"), json!({"containers": [container]}))
        .await?;
    let mut spec = json!({"podName": "subject", "target": {"nodeName": "n2"}});
    refused(lab, spec.clone(), "NetlinkUnread", &["workload", "netlink"]).await?;
    spec["accept"] = json!(["NetlinkUnread"]);
    let migration = lab.migrate_with(spec).await?;
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
        message.contains("The socket has data to read"),
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
