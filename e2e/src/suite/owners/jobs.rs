//! Pods of Jobs move, and the Job counts one success for each.

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde_json::json;

use super::census::Census;
use super::counting_job::{began, complete, ended_what_began, start, stop};
use super::replicas::has_taken_over;
use crate::images;
use crate::suite::failures::subject::{gone, other};
use crate::suite::{Behaviour, Lab, node_of};

pub(super) const PLAIN: Behaviour = Behaviour::new(
    "a job that writes each number to a volume moves five times, has each there once, and counts one success and no failure",
    |lab| Box::pin(plain(lab)),
);
pub(super) const INDEXED: Behaviour = Behaviour::new(
    "a pod of an indexed job moves and goes on with its index",
    |lab| Box::pin(indexed(lab)),
);

/// Counts to a thousand on its own, each number a line of a file, but for the last ten, for which it waits to be told; says then
/// who it was, if the file is as it must be.
const SCRIPT: &str = "id=$(cat /proc/sys/kernel/random/uuid); echo began $id; i=0; \
    while [ $i -lt 1000 ]; do \
        [ $i -lt 990 ] || [ -e /tmp/stop ] || { sleep 0.1; continue; }; \
        i=$((i+1)); echo $i >> /numbers/all; sleep 0.03; \
    done; \
    if seq 1 1000 | cmp -s - /numbers/all; then echo $id $i; else wc -l /numbers/all; fi > /dev/termination-log";
const MOVES: u32 = 5;

async fn plain(lab: &Lab) -> Result<()> {
    let template = json!({"spec": {
        "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
        "containers": [{
            "name": "main", "image": images::workload::IMAGE, "imagePullPolicy": "Never",
            "command": ["sh", "-c", SCRIPT], "volumeMounts": [{"name": "numbers", "mountPath": "/numbers"}],
        }],
        "volumes": [{"name": "numbers", "emptyDir": {}}],
    }});
    let source = start(lab, 1, &json!({"template": template})).await?.remove(0);
    let id = began(lab, &source).await?;
    let census = Census::begin(lab).await?;
    let mut pod = source.clone();
    for number in 1..=MOVES {
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
