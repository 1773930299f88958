//! SysV objects belong to the pod's IPC namespace, and CRIU's image of each container holds all of them; only one restore can
//! make them. It must be that of the container that has shared memory of them mapped: CRIU attaches a mapping only to a segment of the same image.

use godwit_container::{cgroup::Freezer, host::Host};
use thiserror::Error;

use super::facts::SourceContainer;

/// How the kernel names a mapping of SysV shared memory in `/proc/PID/maps` (ipc/shm.c).
const MAPPING: &str = "/SYSV";

/// Why no container can bring the SysV objects along.
#[derive(Debug, Error)]
pub enum SysvError {
    /// More than one needs them.
    #[error(
        "containers {0} and {1} both have SysV shared memory mapped; that can be moved only within one container of a pod"
    )]
    Shared(String, String),
}

impl SysvError {
    /// Stable reason.
    pub fn reason(&self) -> &'static str {
        "SysvMemoryInTwoContainers"
    }
}

/// Whether a process of the container has SysV shared memory mapped. A process that ends meanwhile has none.
pub(super) fn is_mapped(host: &Host, freezer: &Freezer) -> bool {
    let processes = freezer.processes().unwrap_or_default();
    processes.iter().any(|pid| {
        let maps = std::fs::read_to_string(host.process(*pid).join("maps")).unwrap_or_default();
        maps.lines().any(|line| line.contains(MAPPING))
    })
}

/// The container whose restore makes the objects: the one that has memory of them mapped, or the first one.
pub(super) fn owner(containers: &[SourceContainer]) -> Result<&str, SysvError> {
    let mut mapping = containers.iter().filter(|container| container.maps_sysv);
    match (mapping.next(), mapping.next()) {
        (Some(one), Some(other)) => Err(SysvError::Shared(one.name().to_owned(), other.name().to_owned())),
        (Some(one), None) => Ok(one.name()),
        (None, _) => Ok(containers.first().map_or("", SourceContainer::name)),
    }
}
