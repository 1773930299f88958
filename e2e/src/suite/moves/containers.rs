//! Two containers of a pod, and a connection between them.

use anyhow::{Result, ensure};
use serde_json::json;

use super::programs::fine;
use crate::images;
use crate::suite::{Behaviour, Lab, address_of, workload_container};
use crate::traffic::{Load, Redis};

pub(super) const TOGETHER: Behaviour = Behaviour::new(
    "containers that share network and IPC namespaces move together",
    |lab| Box::pin(run(lab)),
);
pub(super) const LATER_MEMORY: Behaviour = Behaviour::new(
    "SysV shared memory of a container that is not the pod's first moves",
    |lab| Box::pin(later_memory(lab)),
);

async fn run(lab: &Lab) -> Result<()> {
    // Memory first: its SysV objects are in the IPC namespace that all share.
    let memory = workload_container("memory", &["shm", "7000"]);
    let redis = json!({"name": "redis", "image": images::redis::IMAGE, "imagePullPolicy": "Never"});
    // Its own clients are in the same pod: their connection goes over the pod's loopback.
    let clients = workload_container("clients", &["load", "7200", "inside=127.0.0.1:6379"]);
    let pod = lab
        .pod(
            "subject",
            Some("n1"),
            json!({"containers": [memory, redis, clients]}),
        )
        .await?;
    let data = Redis::fill(lab, &pod, 4).await?;
    let sum = data.sum(lab, &pod).await?;
    let targets = [("outside".to_owned(), format!("{}:6379", address_of(&pod)?))];
    let load = Load::start(lab, "client", "n2", &targets).await?;
    let inside = Load::of(pod.clone(), 7200);
    inside.progress(lab).await?;
    fine(lab, &pod).await?;
    let pod = lab.moved("subject", "n2").await?;
    load.progress(lab).await?;
    let inside = Load::of(pod.clone(), 7200);
    inside.progress(lab).await?;
    for connection in load.stop(lab).await?.into_iter().chain(inside.report(lab).await?) {
        // A report may come between an answer and its count; what is lost or repeated shows all the same.
        connection.is_whole()?;
    }
    fine(lab, &pod).await?;
    ensure!(data.sum(lab, &pod).await? == sum, "the data is not what it was");
    Ok(())
}

async fn later_memory(lab: &Lab) -> Result<()> {
    let first = workload_container("first", &["serve", "7001"]);
    let memory = workload_container("memory", &["shm", "7000"]);
    let pod = lab
        .pod("subject", Some("n1"), json!({"containers": [first, memory]}))
        .await?;
    fine(lab, &pod).await?;
    let pod = lab.moved("subject", "n2").await?;
    fine(lab, &pod).await
}
