//! Why a pod could not be found on this node.

use std::io;
use std::path::PathBuf;

use crate::cgroup::CgroupError;
use crate::cri::CriError;

/// Why a pod could not be found on this node.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The container runtime could not be asked.
    #[error("the container runtime could not be asked about pod {pod_uid}")]
    Cri {
        /// The pod.
        pod_uid: String,
        /// Why.
        source: CriError,
    },
    /// The pod has no ready sandbox here.
    #[error("pod {pod_uid} has no ready sandbox on this node: it does not run here (any more)")]
    NoSandbox {
        /// The pod.
        pod_uid: String,
    },
    /// The runtime names no process of a container.
    #[error("the container runtime names no process of {what}: it has ended meanwhile")]
    NoProcess {
        /// The container or sandbox.
        what: String,
    },
    /// A file of procfs could not be read.
    #[error("cannot read {path} of {what}: has it ended meanwhile?")]
    Process {
        /// The container.
        what: String,
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// The container's cgroups could not be told.
    #[error("cannot tell the cgroups of {what}")]
    Cgroup {
        /// The container.
        what: String,
        /// Why.
        source: CgroupError,
    },
}

impl DiscoverError {
    /// What an answer that the container runtime did not give means for the search for this pod.
    pub(super) fn asked(pod_uid: &str) -> impl Fn(CriError) -> Self + Copy {
        move |source| Self::Cri {
            pod_uid: pod_uid.to_owned(),
            source,
        }
    }

    /// A stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Cri { source, .. } => source.reason(),
            Self::NoSandbox { .. } => "PodNotOnNode",
            Self::NoProcess { .. } | Self::Process { .. } => "ContainerEnded",
            Self::Cgroup { source, .. } => source.reason(),
        }
    }
}
