//! An agent makes and writes the report of its own node only, and there only what it has seen.

use anyhow::{Context, Result};
use godwit_crds::{NodeReport, NodeReportSpec};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::agents_rights::{as_agent, forbidden};
use crate::suite::{Behaviour, Lab};

pub(super) const CONFINED: Behaviour =
    Behaviour::new("an agent can write the report of its own node only", |lab| {
        Box::pin(confined(lab))
    });

async fn confined(lab: &Lab) -> Result<()> {
    let reports: Api<NodeReport> = Api::all(as_agent(lab, "n3").await?);
    // Only asked whether it would be done: the agent of n3 itself writes there, too.
    let ask = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    let look = json!({"status": {"agent": {"observedAt": "2027-01-15T08:00:00Z", "pods": []}}});
    let other = reports.patch_status("n1", &ask, &Patch::Merge(&look)).await;
    forbidden(other.map(drop), "its own node only").context("another node's report")?;
    for change in [
        json!({"status": {"summary": {"pods": 1, "movable": 1, "notMovable": 0, "ignored": 0}}}),
        json!({"status": {"pods": [{"namespace": "a", "name": "b", "uid": "c", "movable": true}]}}),
        json!({"status": {"answered": "now"}}),
        json!({"status": {"observedAt": "2001-01-01T00:00:00Z"}}),
    ] {
        let answer = reports.patch_status("n3", &ask, &Patch::Merge(&change)).await;
        forbidden(answer.map(drop), "status.agent only").with_context(|| change.to_string())?;
    }
    reports
        .patch_status("n3", &ask, &Patch::Merge(&look))
        .await
        .context("what the agent has seen on its own node")?;

    let ask = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let ghost = NodeReport::new("ghost", NodeReportSpec {});
    forbidden(reports.create(&ask, &ghost).await.map(drop), "its own node only")
        .context("a report of no node")?;
    let annotated = json!({"metadata": {"annotations": {"godwit.dev/look": "agent"}}});
    let patched = reports
        .patch("n3", &PatchParams::default(), &Patch::Merge(&annotated))
        .await;
    forbidden(patched.map(drop), "cannot patch").context("an agent that asks itself")?;
    let deleted = reports.delete("n3", &DeleteParams::default()).await;
    forbidden(deleted.map(drop), "cannot delete").context("an agent that deletes")?;

    let all: Api<NodeReport> = Api::all(lab.client());
    let report = all.get("n1").await.context("the report of n1")?;
    let owner = report
        .owner_references()
        .first()
        .context("n1's report has no owner")?;
    anyhow::ensure!(owner.kind == "Node" && owner.name == "n1", "{owner:?}");
    Ok(())
}
