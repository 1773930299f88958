//! Cgroups, version 1 and 2 behind one interface. Which one a container is in is found by looking, never configured.

mod cpu;
mod freezer;
mod group;
mod hierarchy;
mod v1;
mod v2;

use std::io;
use std::path::PathBuf;

pub use self::cpu::{Cpu, CpuLimit, CpuUse};
pub use self::freezer::{Freezer, State, Version, freeze_all};
pub use self::group::{OwnGroup, Parent};
pub use self::hierarchy::{Membership, memberships, processes};

/// Why something about a cgroup failed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A file of procfs could not be read.
    #[error("cannot read {path}: has the process ended?")]
    Process {
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// The process's groups are not below any cgroup mount of the host.
    #[error(
        "process {pid} is in no cgroup that the host mounts: is cgroupfs mounted at /sys/fs/cgroup on this node?"
    )]
    NotMounted {
        /// The process.
        pid: i32,
    },
    /// The process's group lacks a controller.
    #[error("the cgroup of process {pid} has no {controller} controller")]
    NoController {
        /// The process.
        pid: i32,
        /// The controller.
        controller: &'static str,
    },
    /// Freezing or slowing down this group would do the same to the node's or the caller's own processes.
    #[error(
        "the cgroup {path} also holds the node's own processes: refusing to freeze it or to slow it down"
    )]
    NotItsOwn {
        /// The group.
        path: PathBuf,
    },
    /// A file of a group could not be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// `read`, `write`, `make` or `remove`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// A file of a group says something unexpected.
    #[error("{path} says {content:?}, which is nothing known")]
    UnknownState {
        /// The file.
        path: PathBuf,
        /// Its content.
        content: String,
    },
    /// The group did not reach the wanted state in time.
    #[error("{path} did not become {wanted:?} within {milliseconds} ms{hint}")]
    Deadline {
        /// The group.
        path: PathBuf,
        /// The state that was asked for.
        wanted: State,
        /// How long it had.
        milliseconds: u128,
        /// What keeps it, if that can be told.
        hint: String,
    },
}

impl CgroupError {
    /// A stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Process { .. } => "ProcessEnded",
            Self::NotMounted { .. } => "CgroupNotMounted",
            Self::NoController { .. } => "CpuControllerMissing",
            Self::NotItsOwn { .. } => "CgroupShared",
            Self::File { .. } | Self::UnknownState { .. } => "CgroupUnusable",
            Self::Deadline { .. } => "FreezeTimeout",
        }
    }

    fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
