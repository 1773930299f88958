//! A Job whose pod counts in its memory until it is told to stop, and says then who it was and how far it came.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{ListParams, LogParams, PostParams};
use serde_json::{Value, json};

use super::census::counts;
use crate::images;
use crate::suite::Lab;
use crate::suite::inside::exec;

/// Name of the Job.
pub(super) const NAME: &str = "count";
/// How long pods may take to run or to be counted.
const PATIENCE: Duration = Duration::from_secs(90);
/// A name of its own for each run, which only its memory has.
const SCRIPT: &str = "id=$(cat /proc/sys/kernel/random/uuid); echo began $id; i=0; \
    while [ ! -e /tmp/stop ]; do i=$((i+1)); sleep 0.1; done; echo $id $i > /dev/termination-log";

/// Makes the Job, with that much else in its spec, and waits until its pods run.
pub(super) async fn start(lab: &Lab, count: usize, more: &Value) -> Result<Vec<Pod>> {
    let mut job = json!({
        "metadata": {"name": NAME},
        "spec": {
            "completions": count, "parallelism": count, "backoffLimit": 0,
            "template": {"spec": {
                "restartPolicy": "Never", "terminationGracePeriodSeconds": 1,
                "containers": [{
                    "name": "main", "image": images::workload::IMAGE, "imagePullPolicy": "Never",
                    "command": ["sh", "-c", SCRIPT],
                }],
            }},
        },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        job["spec"][key] = value.clone();
    }
    let job: Job = serde_json::from_value(job)?;
    lab.api().create(&PostParams::default(), &job).await?;
    lab.until("the pods of the job", PATIENCE, async || {
        let mut pods = lab.pods().list(&ListParams::default()).await?.items;
        pods.retain(|pod| counts(pod) && phase(pod) == Some("Running"));
        pods.sort_by_key(ResourceExt::name_any);
        // The Job counts a moment later than kubelet.
        let status = lab.api::<Job>().get(NAME).await?.status;
        let ready = status.and_then(|status| status.ready).unwrap_or_default();
        let all = pods.len() == count && usize::try_from(ready) == Ok(count);
        Ok(all.then_some(pods))
    })
    .await
}

/// The name that this run has given to itself.
pub(super) async fn began(lab: &Lab, pod: &Pod) -> Result<String> {
    let pods = lab.pods();
    lab.until("the first line of the pod", PATIENCE, async || {
        let log = pods.logs(&pod.name_any(), &LogParams::default()).await?;
        Ok(log
            .lines()
            .find_map(|line| line.strip_prefix("began ").map(str::to_owned)))
    })
    .await
}

/// Lets the pod end.
pub(super) async fn stop(lab: &Lab, pod: &str) -> Result<()> {
    exec(lab, pod, &["touch", "/tmp/stop"]).await?;
    Ok(())
}

/// Waits until the Job is complete; gives its status. Fails unless all have succeeded and none has failed.
pub(super) async fn complete(lab: &Lab, count: i32) -> Result<JobStatus> {
    let jobs = lab.api::<Job>();
    let status = lab
        .until("the end of the job", PATIENCE, async || {
            let status = jobs.get(NAME).await?.status.unwrap_or_default();
            let mut conditions = status.conditions.iter().flatten();
            let over = conditions.any(|condition| {
                condition.status == "True" && matches!(condition.type_.as_str(), "Complete" | "Failed")
            });
            Ok(over.then_some(status))
        })
        .await?;
    ensure!(
        status.succeeded == Some(count) && status.failed.unwrap_or(0) == 0,
        "the job ended with {status:?}"
    );
    Ok(status)
}

/// Fails unless that pod is the end of the run that gave itself that name.
pub(super) async fn ended_what_began(lab: &Lab, pod: &str, began: &str) -> Result<()> {
    let pod = lab.pods().get(pod).await?;
    ensure!(phase(&pod) == Some("Succeeded"), "the pod is {:?}", phase(&pod));
    let mut statuses = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    let message = statuses
        .find_map(|status| status.state.as_ref()?.terminated.as_ref()?.message.clone())
        .context("the pod says nothing of its end")?;
    let (id, count) = message.trim().split_once(' ').context("it says something else")?;
    println!("        {}: counted to {count}", pod.name_any());
    ensure!(id == began, "it began as {began} and ended as {id}");
    ensure!(
        pod.finalizers().is_empty(),
        "the job has not counted it: {:?}",
        pod.finalizers()
    );
    Ok(())
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}
