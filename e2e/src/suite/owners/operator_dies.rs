//! The operator is killed between the commit and the adoption; the next one adopts.

use anyhow::{Context, Result};
use kube::ResourceExt;
use serde_json::json;

use super::census::Census;
use super::counting_job::{self, complete, ended_what_began};
use super::replicas;
use crate::migration::Migration;
use crate::suite::failures::agents::{kill_operators, operator_back};
use crate::suite::failures::fault;
use crate::suite::failures::subject::{gone, other};
use crate::suite::{Behaviour, Lab, node_of};

pub(super) const OF_A_DEPLOYMENT: Behaviour = Behaviour::new(
    "the pod of a deployment is adopted although the operator is killed after the commit",
    |lab| Box::pin(of_a_deployment(lab)),
);
pub(super) const OF_A_JOB: Behaviour = Behaviour::new(
    "the pod of a job is adopted although the operator is killed after the commit",
    |lab| Box::pin(of_a_job(lab)),
);

async fn of_a_deployment(lab: &Lab) -> Result<()> {
    let pods = replicas::deployment(lab).await?;
    let census = Census::begin(lab).await?;
    let target = moved(lab, &pods[0]).await?;
    replicas::has_taken_over(&lab.pods().get(&target).await?, &pods[0])?;
    replicas::settled(lab, 3).await?;
    census.says(3, 0)
}

async fn of_a_job(lab: &Lab) -> Result<()> {
    let pod = counting_job::start(lab, 1, &json!({})).await?.remove(0);
    let id = counting_job::began(lab, &pod).await?;
    let census = Census::begin(lab).await?;
    let target = moved(lab, &pod).await?;
    counting_job::stop(lab, &target).await?;
    complete(lab, 1).await?;
    ended_what_began(lab, &target, &id).await?;
    census.says(0, 0)
}

/// The name of the target.
async fn moved(lab: &Lab, pod: &k8s_openapi::api::core::v1::Pod) -> Result<String> {
    let to = other(node_of(pod)?, 1);
    fault::ask(lab.cluster(), &to, "target.AwaitVerdict=hang:2")?;
    let migration = lab.migrate(&pod.name_any(), &to).await?;
    fault::reached(lab, &to).await?;
    kill_operators(lab)?;
    let done = migration.succeeded().await.context("without the operator")?;
    operator_back(lab).await?;
    gone(lab, &pod.name_any()).await?;
    Migration::target_name(&done)
}
