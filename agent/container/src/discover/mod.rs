//! From a pod's UID to its sandbox, processes, bundles and directories on this node.

mod error;
mod found;
mod kubelet;
pub mod overlay;

use std::path::{Path, PathBuf};

pub use self::error::DiscoverError;
pub use self::found::{Bystander, ContainerOnNode, Parking, PodOnNode};
pub use self::kubelet::{empty_dir, pod_directory};
pub use self::overlay::Overlay;
use godwit_proc::mountinfo;

use crate::cgroup;
use crate::cri::info::{self, Info, SpecMount};
use crate::cri::wire::{Container, PodSandbox, PodSandboxState};
use crate::cri::{Cri, CriError};
use crate::host::Host;

/// How the names of Godwit's parking containers begin; an index follows.
pub const PARKING_PREFIX: &str = "godwit-park-";

/// containerd's default for the `Root` of runc's state (the shim's `runc` package), without the namespace.
const RUNC_ROOT: &str = "/run/containerd/runc";
/// The containerd namespace in which everything of Kubernetes lives.
const CONTAINERD_NAMESPACE: &str = "k8s.io";
/// Where containerd keeps the bundles of its v2 runtimes (its `state` directory).
const CONTAINERD_BUNDLES: &str = "/run/containerd/io.containerd.runtime.v2.task";

/// Finds the pod with this UID, its sandbox and its running containers.
pub async fn discover(cri: &Cri, host: &Host, pod_uid: &str) -> Result<PodOnNode, DiscoverError> {
    let asked = DiscoverError::asked(pod_uid);
    let sandboxes = cri.sandboxes(pod_uid).await.map_err(asked)?;
    let sandbox = newest_ready(sandboxes).ok_or_else(|| DiscoverError::NoSandbox {
        pod_uid: pod_uid.to_owned(),
    })?;
    let status = cri.sandbox_status(&sandbox.id).await.map_err(asked)?;
    let info = info::parse(&status.info, &sandbox.id).map_err(asked)?;
    let sandbox_pid = (info.pid > 0).then_some(info.pid);

    let mut containers = Vec::new();
    for container in cri.running_containers(pod_uid).await.map_err(asked)? {
        if container.pod_sandbox_id == sandbox.id && !name_of(&container).starts_with(PARKING_PREFIX) {
            containers.push(container_on_node(cri, host, pod_uid, &container).await?);
        }
    }
    containers.sort_by(|a, b| a.name.cmp(&b.name));

    let named = info
        .runtime_spec
        .as_ref()
        .and_then(|spec| spec.namespace("network"));
    // CRI-O without a sandbox process still has the containers' processes in the namespace.
    let any_pid = sandbox_pid.or_else(|| containers.first().map(|container| container.pid));
    let netns = named.or_else(|| any_pid.map(|pid| PathBuf::from(format!("/proc/{pid}/ns/net"))));
    Ok(PodOnNode {
        sandbox_id: sandbox.id,
        sandbox_pid,
        runtime_handler: sandbox.runtime_handler,
        netns,
        containers,
    })
}

/// Finds the parking container of a target pod that runs at the moment, if any: the one of the highest index.
pub async fn parking(cri: &Cri, pod_uid: &str) -> Result<Option<Parking>, DiscoverError> {
    let asked = DiscoverError::asked(pod_uid);
    let running = cri.running_containers(pod_uid).await.map_err(asked)?;
    let Some(container) = last_parking(running) else {
        return Ok(None);
    };
    let status = cri.container_status(&container.id).await.map_err(asked)?;
    let info = info::parse(&status.info, &container.id).map_err(asked)?;
    let name = name_of(&container).to_owned();
    // Ended between the two calls: the same as not there.
    Ok((info.pid > 0).then_some(Parking {
        name,
        id: container.id,
        pid: info.pid,
    }))
}

/// Finds the running containers of a pod whose ids are not among `known`. One that ends meanwhile is left out.
pub async fn bystanders(cri: &Cri, pod_uid: &str, known: &[&str]) -> Result<Vec<Bystander>, DiscoverError> {
    let asked = DiscoverError::asked(pod_uid);
    let mut found = Vec::new();
    for container in cri.running_containers(pod_uid).await.map_err(asked)? {
        if known.contains(&container.id.as_str()) {
            continue;
        }
        let status = match cri.container_status(&container.id).await {
            Ok(status) => status,
            Err(CriError::Call { source, .. }) if source.code() == tonic::Code::NotFound => continue,
            Err(error) => return Err(asked(error)),
        };
        let info = info::parse(&status.info, &container.id).map_err(asked)?;
        if info.pid > 0 {
            found.push(Bystander {
                name: name_of(&container).to_owned(),
                pid: info.pid,
            });
        }
    }
    Ok(found)
}

async fn container_on_node(
    cri: &Cri,
    host: &Host,
    pod_uid: &str,
    container: &Container,
) -> Result<ContainerOnNode, DiscoverError> {
    let asked = DiscoverError::asked(pod_uid);
    let name = name_of(container).to_owned();
    let what = || format!("container {name}");
    let answer = cri.container_status(&container.id).await.map_err(asked)?;
    let info = info::parse(&answer.info, &container.id).map_err(asked)?;
    if info.pid <= 0 {
        return Err(DiscoverError::NoProcess { what: what() });
    }
    let process = host.process(info.pid);
    let mounts = mountinfo::read(&process).map_err(|source| DiscoverError::Process {
        what: what(),
        path: process.join("mountinfo"),
        source,
    })?;
    let cgroups = cgroup::memberships(host, info.pid)
        .map_err(|source| DiscoverError::Cgroup { what: what(), source })?;
    let status = answer.status.unwrap_or_default();
    let image_ref = if status.image_ref.is_empty() {
        container.image_ref.clone()
    } else {
        status.image_ref
    };
    let (runc_root, bundle) = places(&info, &container.id);
    let binary = info
        .runtime_options
        .as_ref()
        .map(|options| options.binary_name.as_str())
        .unwrap_or_default();
    Ok(ContainerOnNode {
        id: container.id.clone(),
        pid: info.pid,
        image_ref,
        image_id: if status.image_id.is_empty() {
            container.image_id.clone()
        } else {
            status.image_id
        },
        runtime_binary: (!binary.is_empty()).then(|| PathBuf::from(binary)),
        runc_root,
        bundle,
        overlay: overlay::of_root(&mounts),
        mounts: sorted_mounts(&info),
        terminal: info
            .runtime_spec
            .as_ref()
            .and_then(|spec| spec.process.as_ref())
            .is_some_and(|p| p.terminal),
        log_path: status.log_path.into(),
        cgroups,
        runtime_type: info.runtime_type,
        name,
    })
}

fn name_of(container: &Container) -> &str {
    container
        .metadata
        .as_ref()
        .map(|metadata| metadata.name.as_str())
        .unwrap_or_default()
}

fn newest_ready(sandboxes: Vec<PodSandbox>) -> Option<PodSandbox> {
    sandboxes
        .into_iter()
        .filter(|sandbox| sandbox.state == i32::from(PodSandboxState::Ready))
        .max_by_key(|sandbox| sandbox.created_at)
}

fn last_parking(running: Vec<Container>) -> Option<Container> {
    let index = |container: &Container| {
        name_of(container)
            .strip_prefix(PARKING_PREFIX)?
            .parse::<u32>()
            .ok()
    };
    running
        .into_iter()
        .filter(|container| index(container).is_some())
        .max_by_key(index)
}

fn sorted_mounts(info: &Info) -> Vec<SpecMount> {
    let mut mounts = info
        .runtime_spec
        .as_ref()
        .map(|spec| spec.mounts.clone())
        .unwrap_or_default();
    mounts.sort_by(|a, b| a.destination.cmp(&b.destination));
    mounts
}

/// The state directory of the OCI runtime and the bundle of a container.
fn places(info: &Info, id: &str) -> (PathBuf, PathBuf) {
    if info.runtime_type.is_empty() {
        // CRI-O: runc's own default root, and a bundle named by storage, which its annotation tells
        // (facts: cri-o internal/annotations, `io.kubernetes.cri-o.MountPoint` is the root below it).
        let point = info
            .runtime_spec
            .as_ref()
            .and_then(|spec| spec.annotations.get("io.kubernetes.cri-o.MountPoint"));
        let bundle = point.map(|point| {
            Path::new(point)
                .parent()
                .unwrap_or(Path::new("/"))
                .join("userdata")
        });
        return (PathBuf::from("/run/runc"), bundle.unwrap_or_default());
    }
    let configured = info
        .runtime_options
        .as_ref()
        .map(|options| options.root.clone())
        .unwrap_or_default();
    let root = if configured.as_os_str().is_empty() {
        PathBuf::from(RUNC_ROOT)
    } else {
        configured
    };
    (
        root.join(CONTAINERD_NAMESPACE),
        Path::new(CONTAINERD_BUNDLES).join(CONTAINERD_NAMESPACE).join(id),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cri::info::RuntimeOptions;
    use crate::cri::wire::ContainerMetadata;

    fn sandbox(id: &str, ready: bool, created_at: i64) -> PodSandbox {
        let state = if ready {
            PodSandboxState::Ready
        } else {
            PodSandboxState::NotReady
        };
        PodSandbox {
            id: id.into(),
            state: state.into(),
            created_at,
            ..PodSandbox::default()
        }
    }

    fn named(name: &str) -> Container {
        let metadata = Some(ContainerMetadata {
            name: name.into(),
            attempt: 0,
        });
        Container {
            id: name.into(),
            metadata,
            ..Container::default()
        }
    }

    #[test]
    fn a_sandbox_that_is_not_ready_is_passed_over() {
        let found = newest_ready(vec![
            sandbox("a", true, 1),
            sandbox("b", true, 2),
            sandbox("c", false, 3),
        ]);
        assert_eq!(found.unwrap().id, "b");
        assert_eq!(newest_ready(vec![sandbox("c", false, 3)]), None);
    }

    #[test]
    fn parking_is_told_by_name_and_index() {
        let running = vec![
            named("app"),
            named("godwit-park-9"),
            named("godwit-park-10"),
            named("godwit-park-x"),
        ];
        assert_eq!(last_parking(running).unwrap().id, "godwit-park-10");
        assert_eq!(last_parking(vec![named("app")]), None);
    }

    #[test]
    fn places_of_containerd_follow_the_configured_root() {
        let mut info = Info {
            runtime_type: "io.containerd.runc.v2".into(),
            ..Info::default()
        };
        let bundle = PathBuf::from("/run/containerd/io.containerd.runtime.v2.task/k8s.io/c1");
        assert_eq!(
            places(&info, "c1"),
            ("/run/containerd/runc/k8s.io".into(), bundle.clone())
        );
        info.runtime_options = Some(RuntimeOptions {
            root: "/run/other".into(),
            ..RuntimeOptions::default()
        });
        assert_eq!(places(&info, "c1"), ("/run/other/k8s.io".into(), bundle));
    }

    #[test]
    fn mounts_are_sorted_by_destination() {
        let text = include_str!("../../tests/fixtures/containerd-container.json");
        let info: Info = serde_json::from_str(text).unwrap();
        let sorted = sorted_mounts(&info);
        assert!(sorted.len() > 5);
        assert!(
            sorted
                .windows(2)
                .all(|pair| pair[0].destination <= pair[1].destination)
        );
    }
}
