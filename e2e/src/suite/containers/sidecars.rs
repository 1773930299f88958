//! Native sidecars: init containers that go on running.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{redis, sidecar, status_of};
use crate::migration::Migration;
use crate::suite::{Behaviour, Lab, address_of, workload_container};
use crate::traffic::Load;

pub(super) const MOVES: Behaviour = Behaviour::new(
    "a native sidecar moves to and fro with its pod, and an ordinary init container does not run again",
    |lab| Box::pin(run(lab, 1)),
);
pub(super) const SEVERAL: Behaviour = Behaviour::new("several native sidecars of a pod move", |lab| {
    Box::pin(run(lab, 3))
});

/// Where the ordinary init container leaves a line for each time that it runs.
const RAN: &str = "dev/shm/ran";

async fn run(lab: &Lab, sidecars: u16) -> Result<()> {
    let mut setup = workload_container("setup", &[]);
    setup["command"] = json!(["sh", "-c", format!("echo ran >> /{RAN}")]);
    let mut init = vec![setup];
    init.extend((1..=sidecars).map(|number| sidecar(&format!("side-{number}"), 6379 + number)));
    // It would hang the start of the next container, if it went along.
    init[1]["startupProbe"] = json!({"exec": {"command": ["redis-cli", "-p", "6380", "ping"]}});
    let spec = json!({"initContainers": init, "containers": [redis("app", 6379)]});
    let mut pod = lab.pod("subject", Some("n1"), spec).await?;
    let address = address_of(&pod)?;
    let targets: Vec<(String, String)> = (0..=sidecars)
        .map(|number| (format!("redis-{number}"), format!("{address}:{}", 6379 + number)))
        .collect();
    let load = Load::start(lab, "client", "n3", &targets).await?;
    for node in ["n2", "n1", "n2"] {
        pod = moved(lab, &pod, node)
            .await
            .with_context(|| format!("to {node}"))?;
        load.progress(lab).await?;
        for number in 1..=sidecars {
            let status = status_of(&pod, &format!("side-{number}"))?;
            ensure!(status.restart_count == 0, "a sidecar was restarted: {status:?}");
        }
        let names = init_containers(&pod);
        ensure!(
            !names.iter().any(|name| name == "setup"),
            "the target has {names:?}"
        );
        ran_once(lab, node)?;
    }
    for connection in load.stop(lab).await? {
        connection.is_whole()?;
    }
    Ok(())
}

/// Moves it and says how long it was frozen: not to be judged here, but to be seen.
async fn moved(lab: &Lab, pod: &Pod, node: &str) -> Result<Pod> {
    let spec = json!({"podName": pod.name_any(), "target": {"nodeName": node}});
    let done = lab.migrate_with(spec).await?.succeeded().await?;
    let status = done.status.clone().unwrap_or_default();
    let freeze = status.timings.and_then(|timings| timings.freeze);
    println!("        {} containers: {freeze:?}", count(pod));
    Ok(lab.pods().get(&Migration::target_name(&done)?).await?)
}

fn count(pod: &Pod) -> Value {
    let init = init_containers(pod);
    let main = pod.spec.as_ref().map_or(0, |spec| spec.containers.len());
    json!(init.iter().filter(|name| name.starts_with("side")).count() + main)
}

fn init_containers(pod: &Pod) -> Vec<String> {
    let init = pod
        .spec
        .iter()
        .flat_map(|spec| spec.init_containers.iter().flatten());
    init.map(|container| container.name.clone()).collect()
}

fn ran_once(lab: &Lab, node: &str) -> Result<()> {
    let pid = lab.cluster().node(node)?.pids_of("redis-server");
    let pid = pid.first().context("no Redis runs")?;
    let ran = std::fs::read_to_string(format!("/proc/{pid}/root/{RAN}"))
        .context("read what the init container left")?;
    ensure!(ran == "ran\n", "the init container has left `{ran}`");
    Ok(())
}
