//! Why the wrapper fails a call.

use std::io;
use std::path::PathBuf;

use crate::cgroup::CgroupError;
use crate::record::RecordError;
use crate::watch::WatchError;

/// Why the wrapper fails a call.
#[derive(Debug, thiserror::Error)]
pub enum WrapperError {
    /// runc cannot be run.
    #[error("cannot run runc; is it in PATH?")]
    Runc(#[source] io::Error),
    /// The bundle's configuration cannot be changed.
    #[error("cannot {action} {path}", path = path.display())]
    Bundle {
        /// "read" or "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The bundle's configuration is not JSON, or not that of a container.
    #[error("{path} is no container configuration: {why}", path = path.display())]
    Configuration {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A file between agent and wrapper cannot be used.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The record directory cannot be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// A cgroup cannot be used.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The record is not one that this build understands.
    #[error("the record {path} {why}; the Godwit agent of this node must write it anew", path = path.display())]
    BadRecord {
        /// The record directory.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A restore was tried before.
    #[error(
        "a restore of this container was tried before; it is not tried twice in one pod, and the container does not start cold while its migration is undecided"
    )]
    TriedBefore,
    /// The agent says so.
    #[error("the migration was aborted: {0}")]
    Aborted(String),
    /// The agent did not come.
    #[error("the Godwit agent of this node did not ask for the restore before the deadline; is it running?")]
    AgentAway,
    /// The restore took too long.
    #[error("the restore was not done before the deadline and has been ended")]
    Deadline,
    /// runc failed.
    #[error("the restore failed: {0}")]
    RestoreFailed(String),
    /// runc succeeded but the container is not as it should be.
    #[error("the restored container is not held: {0}")]
    NotHeld(String),
}

impl WrapperError {
    /// The stable reason of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Runc(_) => "RuncUnavailable",
            Self::Bundle { .. } => "BundleUnavailable",
            Self::Configuration { .. } => "BundleMalformed",
            Self::Record(error) => error.reason(),
            Self::Watch(error) => error.reason(),
            Self::Cgroup(error) => error.reason(),
            Self::BadRecord { .. } => "BadRecord",
            Self::TriedBefore => "TriedBefore",
            Self::Aborted(_) => "Aborted",
            Self::AgentAway => "AgentAway",
            Self::Deadline => "RestoreDeadline",
            Self::RestoreFailed(_) => "RestoreFailed",
            Self::NotHeld(_) => "NotHeld",
        }
    }
}
