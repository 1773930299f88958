//! A migrated pod is a pod like any other: its container is started again when it ends.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::suite::failures::subject::Subject;
use crate::suite::failures::witness::Witness;
use crate::suite::{Behaviour, Lab};

pub(super) const ORDINARY: Behaviour = Behaviour::new(
    "a container that moved and then ends is started again as any other",
    |lab| Box::pin(ordinary(lab)),
);

/// How long kubelet may take to see it.
const RESTARTED: Duration = Duration::from_mins(1);

async fn ordinary(lab: &Lab) -> Result<()> {
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    subject.moves().await?;
    let node = lab.cluster().node(&subject.node)?;
    let id = container_id(&subject.pod().await?).context("no container ID")?;
    // By the container's own group: other pods of this node run Redis too.
    let own: Vec<i32> = node
        .pids_of("redis-server")
        .into_iter()
        .filter(|&pid| in_container(pid, &id))
        .collect();
    ensure!(own.len() == 1, "{} processes of container {id}", own.len());
    kill(Pid::from_raw(own[0]), Signal::SIGKILL)?;
    let pods = lab.pods();
    let pod = lab
        .until("kubelet to start the container again", RESTARTED, async || {
            let pod = pods.get(&subject.name).await?;
            let statuses = pod
                .status
                .iter()
                .flat_map(|status| status.container_statuses.iter().flatten());
            let again = statuses.clone().all(|status| {
                status.restart_count == 1
                    && status.state.as_ref().is_some_and(|state| state.running.is_some())
            });
            Ok(again.then_some(pod))
        })
        .await?;
    let address = pod
        .status
        .as_ref()
        .and_then(|status| status.pod_ip.clone())
        .context("no address")?;
    let fresh = Witness::connect(lab, "n3", address).await?;
    fresh.stop().await.context("the restarted Redis")?;
    ensure!(
        container_id(&pod).as_ref() != Some(&id),
        "the container is still the restored one"
    );
    Ok(())
}

fn container_id(pod: &k8s_openapi::api::core::v1::Pod) -> Option<String> {
    let status = pod.status.as_ref()?.container_statuses.as_ref()?.first()?;
    status
        .container_id
        .as_deref()?
        .rsplit('/')
        .next()
        .map(str::to_owned)
}

fn in_container(pid: i32, id: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|text| text.contains(id))
}
