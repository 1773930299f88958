//! What an installation needs of the node beside its files; the one interface behind which tests put a node of their own.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};

use godwit_container::cgroup::CgroupError;
use thiserror::Error;

/// Which container engine serves CRI on the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// containerd.
    Containerd,
    /// CRI-O; known, not supported yet.
    Crio,
}

/// The running engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineProcess {
    /// Which one.
    pub kind: EngineKind,
    /// Its process, in the agent's PID namespace (the host's).
    pub pid: i32,
    /// Its binary on the host.
    pub binary: PathBuf,
    /// Its main configuration file on the host.
    pub config: PathBuf,
    /// Its major version, if it could be asked.
    pub major: Option<u32>,
}

/// The node as an installation sees it.
pub trait NodeOps: Sync {
    /// True when files at this path (as seen by the agent) are in memory.
    fn in_memory(&self, path: &Path) -> io::Result<bool>;
    /// Mounts a tmpfs at a host path, in the host's mount namespace.
    fn mount_tmpfs(&self, host_path: &Path) -> impl Future<Output = Result<(), NodeError>> + Send;
    /// Unmounts a host path there; no error if nothing is mounted.
    fn unmount(&self, host_path: &Path) -> impl Future<Output = Result<(), NodeError>> + Send;
    /// Makes the control group in which runtime calls run; no error if it is there.
    fn make_call_group(&self) -> Result<(), NodeError>;
    /// Removes it; no error if it is gone, or still in use.
    fn remove_call_group(&self) -> Result<(), NodeError>;
    /// Finds the engine; an error if none answers.
    fn engine(&self) -> impl Future<Output = Result<EngineProcess, NodeError>> + Send;
    /// Names of the runtime handlers that the engine has loaded.
    fn handlers(&self) -> impl Future<Output = Result<Vec<String>, NodeError>> + Send;
    /// The merged configuration as the engine reads it from its files now (TOML); `None`: it cannot tell.
    fn merged_config(
        &self,
        engine: &EngineProcess,
    ) -> impl Future<Output = Option<Result<String, NodeError>>> + Send;
    /// Asks for a restart of the engine; does not wait for it to be back.
    fn restart(&self, engine: &EngineProcess) -> impl Future<Output = Result<(), NodeError>> + Send;
}

/// What the node did not do.
#[derive(Debug, Error)]
pub enum NodeError {
    /// No engine's socket was found.
    #[error("no container engine serves CRI on this node (looked at {looked_at})")]
    NoEngine {
        /// Paths on the host.
        looked_at: String,
    },
    /// An engine for which nothing has been built yet.
    #[error("the node's container engine is CRI-O; Godwit supports containerd only for now")]
    UnsupportedEngine,
    /// The socket is served by something else.
    #[error("{socket} is served by {binary}, which is no container engine known to Godwit")]
    UnknownEngine {
        /// Socket on the host.
        socket: PathBuf,
        /// Who serves it.
        binary: PathBuf,
    },
    /// Something about the engine's process could not be found out.
    #[error("cannot find out about the engine's process {pid}")]
    Process {
        /// Its PID.
        pid: i32,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// CRI did not answer.
    #[error("the container engine does not answer: {message}")]
    Cri {
        /// What happened.
        message: String,
    },
    /// The control group for runtime calls.
    #[error("the control group for runtime calls cannot be made or removed")]
    Group(#[from] CgroupError),
    /// A program in the host's namespaces could not be run.
    #[error("cannot run {program} on the host")]
    Spawn {
        /// Program.
        program: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// It did not end in time.
    #[error("{program} did not end within {seconds} s")]
    Deadline {
        /// Program.
        program: String,
        /// Limit.
        seconds: u64,
    },
    /// It failed.
    #[error("{program} failed on the host: {message}")]
    Failed {
        /// Program with its arguments.
        program: String,
        /// Its last words.
        message: String,
    },
}

impl NodeError {
    /// Stable `PascalCase` reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoEngine { .. } => "NoEngine",
            Self::UnsupportedEngine => "UnsupportedEngine",
            Self::UnknownEngine { .. } => "UnknownEngine",
            Self::Process { .. } => "EngineProcess",
            Self::Cri { .. } => "EngineSilent",
            Self::Group(error) => error.reason(),
            Self::Spawn { .. } | Self::Failed { .. } => "HostCommandFailed",
            Self::Deadline { .. } => "HostCommandDeadline",
        }
    }
}
