//! Containers that are not moved but start anew (`spec.restartContainers`).

use anyhow::{Result, ensure};
use godwit_crds::Verdict;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{redis, sidecar, status_of};
use crate::migration::Migration;
use crate::suite::{Behaviour, Lab, address_of};
use crate::traffic::{Load, Redis};

pub(super) const SIDECAR: Behaviour = Behaviour::new(
    "a sidecar in restartContainers starts anew, and its pod's other containers move",
    |lab| {
        let spec = json!({"initContainers": [sidecar("proxy", 6380)], "containers": [redis("app", 6379)]});
        Box::pin(run(lab, spec))
    },
);
pub(super) const MAIN: Behaviour = Behaviour::new(
    "a main container in restartContainers starts anew between two that move",
    |lab| {
        let spec = json!({"containers": [redis("first", 6381), redis("proxy", 6380), redis("app", 6379)]});
        Box::pin(run(lab, spec))
    },
);

async fn run(lab: &Lab, spec: Value) -> Result<()> {
    let pod = lab.pod("subject", Some("n1"), spec).await?;
    let data = Redis::fill(lab, &pod, 4).await?;
    let sum = data.sum(lab, &pod).await?;
    say(lab, &pod, "set mark before").await?;
    let targets = [("app".to_owned(), format!("{}:6379", address_of(&pod)?))];
    let load = Load::start(lab, "client", "n3", &targets).await?;
    let spec = json!({"podName": "subject", "target": {"nodeName": "n2"}, "restartContainers": ["proxy"]});
    let done = lab.migrate_with(spec).await?.succeeded().await?;
    let status = done.status.clone().unwrap_or_default();
    let freeze = status.timings.and_then(|timings| timings.freeze);
    println!("        {freeze:?}");
    let warned = status
        .preflight
        .iter()
        .any(|check| check.check == "RestartContainers" && check.verdict == Verdict::Warn);
    ensure!(warned, "no warning: {:?}", status.preflight);
    let pod = lab.running(&Migration::target_name(&done)?).await?;
    load.progress(lab).await?;
    for connection in load.stop(lab).await? {
        connection.is_whole()?;
    }
    ensure!(data.sum(lab, &pod).await? == sum, "the data is not what it was");
    let mark = say(lab, &pod, "get mark").await?;
    ensure!(mark.is_empty(), "the proxy did not start anew: it knows `{mark}`");
    ensure!(
        status_of(&pod, "proxy")?.restart_count == 0,
        "the proxy was restarted"
    );
    // And back, all together.
    say(lab, &pod, "set mark again").await?;
    let pod = lab
        .moved(pod.metadata.name.as_deref().unwrap_or_default(), "n1")
        .await?;
    let mark = say(lab, &pod, "get mark").await?;
    ensure!(mark == "again", "the proxy did not move: it knows `{mark}`");
    ensure!(data.sum(lab, &pod).await? == sum, "the data is not what it was");
    Ok(())
}

/// To the Redis that is called proxy.
async fn say(lab: &Lab, pod: &Pod, line: &str) -> Result<String> {
    let host = address_of(pod)?.to_string();
    let mut words = vec!["redis-cli", "-e", "-h", &host, "-p", "6380"];
    words.extend(line.split(' '));
    let answer = lab
        .on_node("n3", &words, std::time::Duration::from_secs(20))
        .await?;
    Ok(answer.trim().to_owned())
}
