//! What the processes do that CRIU could not take along; `godwit-preflight` looks.

use std::{collections::BTreeSet, path::PathBuf};

use godwit_preflight::{Container, Finding, look};
use k8s_openapi::api::core::v1::{self, Pod};
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
pub(super) async fn find(node: &Node, containers: Vec<Container>) -> Vec<Finding> {
    let subject = godwit_preflight::Pod {
        proc: node.host.proc.clone(),
        containers,
        ghost_limit: GHOST_LIMIT,
        watches_on_overlay: engine::watches_on_overlay(node).await,
    };
    // An error means that the look panicked: the dump finds what it would have found.
    task::spawn_blocking(move || look(&subject))
        .await
        .unwrap_or_default()
}

/// The containers with what Kubernetes has mounted into them.
pub(super) fn containers(pod: &Pod, processes: Vec<ContainerProcesses>) -> Vec<Container> {
    let spec = pod.spec.as_ref();
    let of = |processes: ContainerProcesses| {
        let own = spec.and_then(|spec| lasting(spec).find(|it| it.name == processes.container));
        Container {
            mounts: own.map(mounts).unwrap_or_default(),
            pids: numbers(&processes.pids),
            name: processes.container,
        }
    };
    processes.into_iter().map(of).collect()
}

/// PIDs as the look has them.
pub(crate) fn numbers(pids: &BTreeSet<i32>) -> Vec<u32> {
    pids.iter().filter_map(|pid| u32::try_from(*pid).ok()).collect()
}

/// Where Kubernetes has mounted something into a container.
pub(crate) fn mounts(own: &v1::Container) -> Vec<PathBuf> {
    let volumes = own.volume_mounts.iter().flatten();
    let message = own.termination_message_path.as_deref();
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
        let processes = |container: &str| ContainerProcesses {
            container: container.to_owned(),
            pids: [7, -1].into(),
        };
        let looked = containers(&pod, vec![processes("app"), processes("gone")]);
        assert_eq!((looked[0].name.as_str(), &looked[0].pids[..]), ("app", &[7][..]));
        assert_eq!(looked[1].mounts, Vec::<PathBuf>::new());
        let found = &looked[0].mounts;
        for path in ["/data", "/dev/termination-log", "/etc/hosts", "/dev/shm"] {
            assert!(found.contains(&PathBuf::from(path)), "{path}");
        }
        assert!(!found.contains(&PathBuf::from("/other")));
    }
}
