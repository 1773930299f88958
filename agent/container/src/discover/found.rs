//! What is found of a pod.

use std::path::{Path, PathBuf};

use super::Overlay;
use crate::cgroup::Membership;
use crate::cri::info::SpecMount;

/// A pod as it runs on this node.
#[derive(Debug, Clone)]
pub struct PodOnNode {
    /// Id of its sandbox.
    pub sandbox_id: String,
    /// The sandbox's own process (`pause`), as a PID of the host; none if the runtime keeps the namespaces without one.
    pub sandbox_pid: Option<i32>,
    /// The handler of the pod's `RuntimeClass`; empty for the default one.
    pub runtime_handler: String,
    /// The pod's network namespace, in the host's view: a bind mount below `/var/run/netns`, or `/proc/PID/ns/net`.
    pub netns: Option<PathBuf>,
    /// Its running containers by name, without Godwit's parking ones.
    pub containers: Vec<ContainerOnNode>,
}

/// A running container. All paths are in the host's view.
#[derive(Debug, Clone)]
pub struct ContainerOnNode {
    /// Its name in the pod's spec.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its first process, as a PID of the host.
    pub pid: i32,
    /// The image's reference by digest, as the runtime knows it.
    pub image_ref: String,
    /// The image's id; empty if the runtime does not tell.
    pub image_id: String,
    /// containerd's type of runtime, `io.containerd.runc.v2`; empty for CRI-O.
    pub runtime_type: String,
    /// The OCI runtime's program as configured; none for the default (runc by PATH).
    pub runtime_binary: Option<PathBuf>,
    /// The `--root` of the OCI runtime's state.
    pub runc_root: PathBuf,
    /// The OCI bundle.
    pub bundle: PathBuf,
    /// The layers of its root file system; none if that is no overlay.
    pub overlay: Option<Overlay>,
    /// What the spec mounts into it, sorted by destination.
    pub mounts: Vec<SpecMount>,
    /// Whether it has a terminal.
    pub terminal: bool,
    /// Its log.
    pub log_path: PathBuf,
    /// Its groups, one for each hierarchy.
    pub cgroups: Vec<Membership>,
}

impl ContainerOnNode {
    /// Where it has mounts, sorted.
    pub fn mount_destinations(&self) -> impl Iterator<Item = &Path> {
        self.mounts.iter().map(|mount| mount.destination.as_path())
    }

    /// The mounted root file system while the container runs or is being made.
    pub fn rootfs(&self) -> PathBuf {
        self.bundle.join("rootfs")
    }
}

/// A running container of which no more is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bystander {
    /// Its name.
    pub name: String,
    /// Its first process, as a PID of the host.
    pub pid: i32,
}

/// The parking container of a target pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parking {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its process, as a PID of the host: SIGUSR1 ends the parking.
    pub pid: i32,
}
