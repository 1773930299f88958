//! What the processes do that CRIU could not take along; `godwit-preflight` looks.

use std::{collections::BTreeSet, path::PathBuf};

use godwit_preflight::{Container, Finding, look};
use k8s_openapi::api::core::v1::Pod;
use tokio::task;

use super::engine;
use crate::{install::GHOST_LIMIT, node::Node, source::lasting};

/// Files that kubelet and the container runtime mount into every container.
const ALWAYS: [&str; 4] = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/dev/shm"];

/// One container's processes, by their PIDs on the node.
#[derive(Debug)]
pub(super) struct ContainerProcesses {
    pub(super) container: String,
    pub(super) pids: BTreeSet<i32>,
}

/// Looks at them, on a thread that may block.
pub(super) async fn find(node: &Node, pod: &Pod, processes: Vec<ContainerProcesses>) -> Vec<Finding> {
    let containers = processes.into_iter().map(|of| Container {
        mounts: mounts(pod, &of.container),
        pids: of
            .pids
            .into_iter()
            .filter_map(|pid| u32::try_from(pid).ok())
            .collect(),
        name: of.container,
    });
    let subject = godwit_preflight::Pod {
        proc: node.host.proc.clone(),
        containers: containers.collect(),
        ghost_limit: GHOST_LIMIT,
        watches_on_overlay: engine::watches_on_overlay(node).await,
    };
    // An error means that the look panicked: the dump finds what it would have found.
    task::spawn_blocking(move || look(&subject))
        .await
        .unwrap_or_default()
}

/// Where Kubernetes has mounted something into a container.
fn mounts(pod: &Pod, container: &str) -> Vec<PathBuf> {
    let spec = pod.spec.as_ref();
    let own = spec.and_then(|spec| lasting(spec).find(|it| it.name == container));
    let volumes = own.iter().flat_map(|own| own.volume_mounts.iter().flatten());
    let message = own.and_then(|own| own.termination_message_path.as_deref());
    volumes
        .map(|mount| mount.mount_path.as_str())
        .chain(message)
        .chain(ALWAYS)
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mounts_of_kubernetes_are_the_volumes_and_the_runtimes_own_files() {
        let pod: Pod = serde_json::from_value(json!({"spec": {"containers": [
            {"name": "app", "terminationMessagePath": "/dev/termination-log", "volumeMounts": [{"name": "data", "mountPath": "/data"}]},
            {"name": "other", "volumeMounts": [{"name": "data", "mountPath": "/other"}]},
        ]}}))
        .unwrap();
        let found = mounts(&pod, "app");
        for path in ["/data", "/dev/termination-log", "/etc/hosts", "/dev/shm"] {
            assert!(found.contains(&PathBuf::from(path)), "{path}");
        }
        assert!(!found.contains(&PathBuf::from("/other")));
    }
}
