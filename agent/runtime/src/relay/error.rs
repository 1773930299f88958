//! Why the relay gives up.

use std::path::PathBuf;

use godwit_memory::causes::with_causes;
use nix::errno::Errno;

use crate::cgroup::CgroupError;
use crate::record::{Failed, RecordError};
use crate::rpc::RpcError;
use crate::veil::VeilError;
use crate::watch::WatchError;

/// Why the relay gives up. Whatever it is, no restored task is left that could run.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// A system call failed.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: Errno,
    },
    /// The real CRIU cannot be started.
    #[error("cannot run {path}; is CRIU installed there?", path = path.display())]
    Exec {
        /// The program.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// CRIU's configuration cannot be read.
    #[error("cannot read CRIU's configuration {path}", path = path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A cgroup cannot be used.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The gate directory cannot be used.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The gate cannot be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// Hidden memory cannot be found again.
    #[error(transparent)]
    Veil(#[from] VeilError),
    /// A message cannot be read.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// The agent says so.
    #[error("aborted: {0}")]
    Aborted(String),
    /// The gate stayed closed.
    #[error("the agent did not open the gate before the deadline")]
    GateDeadline,
    /// runc is gone.
    #[error("runc ended before CRIU was done")]
    RuncGone,
    /// The relay itself is gone; its guard says so.
    #[error("the relay between runc and CRIU ended before CRIU was done")]
    RelayGone,
    /// CRIU is gone.
    #[error("CRIU ended before it was done")]
    CriuGone,
    /// The restored container would share a cgroup with runc.
    #[error("the container has no freezer cgroup of its own: {path} is runc's too", path = path.display())]
    SharedCgroup {
        /// The cgroup.
        path: PathBuf,
    },
    /// CRIU could not be moved out of the container's cgroup.
    #[error("CRIU is still in the container's cgroup {path}", path = path.display())]
    NotMoved {
        /// The cgroup.
        path: PathBuf,
    },
    /// The restored process is somewhere else.
    #[error("the restored process is not in the container's cgroup {path}", path = path.display())]
    Misplaced {
        /// The cgroup.
        path: PathBuf,
    },
    /// CRIU said that it is done without having stopped at pre-resume.
    #[error("CRIU resumed the container without asking; it has been ended")]
    NotHeld,
}

impl RelayError {
    /// The stable reason of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::System { .. } => "RelayFailed",
            Self::Exec { .. } => "CriuUnavailable",
            Self::Config { .. } => "CriuConfigUnreadable",
            Self::Cgroup(error) => error.reason(),
            Self::Record(error) => error.reason(),
            Self::Watch(error) => error.reason(),
            Self::Veil(error) => error.reason(),
            Self::Rpc(error) => error.reason(),
            Self::Aborted(_) => "Aborted",
            Self::GateDeadline => "GateDeadline",
            Self::RuncGone => "RuncGone",
            Self::RelayGone => "RelayGone",
            Self::CriuGone => "CriuGone",
            Self::SharedCgroup { .. } => "SharedCgroup",
            Self::NotMoved { .. } => "NotMoved",
            Self::Misplaced { .. } => "Misplaced",
            Self::NotHeld => "NotHeld",
        }
    }

    /// As it stands in a file: reason and the whole chain of causes.
    pub fn failed(&self) -> Failed {
        Failed {
            reason: self.reason().to_owned(),
            message: with_causes(self),
        }
    }
}
