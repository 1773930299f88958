//! What is looked at.

use std::path::PathBuf;

/// The containers of one pod that are to be moved, on this node.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Where the node's procfs is mounted: PIDs are those that it shows.
    pub proc: PathBuf,
    /// The containers.
    pub containers: Vec<Container>,
    /// CRIU's `ghost-limit`, in bytes on disk: unlinked files that are open may not be larger (`dump_ghost_remap`, `criu/files-reg.c`).
    pub ghost_limit: u64,
    /// Whether CRIU can take inotify and fanotify watches on overlayfs: from 4.3 on.
    pub watches_on_overlay: bool,
}

/// One container.
#[derive(Debug, Clone)]
pub struct Container {
    /// Its name in the pod's spec.
    pub name: String,
    /// Its processes on the node, all of its cgroup.
    pub pids: Vec<u32>,
    /// Where Kubernetes has mounted something into it, in its own view: volumes, and files that kubelet and the container runtime make.
    pub mounts: Vec<PathBuf>,
}
