//! Pods of Jobs move, and the Job counts one success for each.

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde_json::json;

use super::census::Census;
use super::counting_job::{began, complete, ended_what_began, start, stop};
use super::replicas::has_taken_over;
use crate::suite::failures::subject::{gone, other};
use crate::suite::{Behaviour, Lab, node_of};

pub(super) const PLAIN: Behaviour = Behaviour::new(
    "the pod of a job moves three times and counts as one success and no failure",
    |lab| Box::pin(plain(lab)),
);
pub(super) const INDEXED: Behaviour = Behaviour::new(
    "a pod of an indexed job moves and goes on with its index",
    |lab| Box::pin(indexed(lab)),
);

async fn plain(lab: &Lab) -> Result<()> {
    let source = start(lab, 1, &json!({})).await?.remove(0);
    let id = began(lab, &source).await?;
    let census = Census::begin(lab).await?;
    let mut pod = source.clone();
    for number in 1..=3 {
        let node = other(node_of(&pod)?, 1);
        let target = lab
            .moved(&pod.name_any(), &node)
            .await
            .with_context(|| format!("move {number}"))?;
        gone(lab, &pod.name_any()).await?;
        has_taken_over(&target, &source)?;
        pod = target;
    }
    stop(lab, &pod.name_any()).await?;
    complete(lab, 1).await?;
    ended_what_began(lab, &pod.name_any(), &id).await?;
    census.says(0, 0)
}

async fn indexed(lab: &Lab) -> Result<()> {
    let pods = start(lab, 2, &json!({"completionMode": "Indexed"})).await?;
    let (source, rest) = pods.split_last().context("no pods")?;
    let id = began(lab, source).await?;
    let census = Census::begin(lab).await?;
    let target = lab.moved(&source.name_any(), &other(node_of(source)?, 1)).await?;
    gone(lab, &source.name_any()).await?;
    has_taken_over(&target, source)?;
    let index = |pod: &k8s_openapi::api::core::v1::Pod| {
        pod.annotations()
            .get("batch.kubernetes.io/job-completion-index")
            .cloned()
    };
    ensure!(
        index(source).is_some() && index(&target) == index(source),
        "the index is {:?}",
        index(&target)
    );
    stop(lab, &target.name_any()).await?;
    stop(lab, &rest[0].name_any()).await?;
    let status = complete(lab, 2).await?;
    ensure!(
        status.completed_indexes.as_deref() == Some("0,1"),
        "{:?}",
        status.completed_indexes
    );
    ended_what_began(lab, &target.name_any(), &id).await?;
    census.says(0, 0)
}
