//! What can go wrong on the way into a node, or out of it.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::containerd::ConfigError;
use super::node::NodeError;

/// Why an installation or its reverse did not come to its end.
#[derive(Debug, Error)]
pub enum InstallError {
    /// A file operation failed.
    #[error("cannot {what} {path}")]
    File {
        /// What was being done.
        what: &'static str,
        /// To which path, as seen by the agent.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The agent's own files are not where its image should have them.
    #[error("{path} of the agent's image lacks {missing}; the image is broken")]
    Payload {
        /// Directory of the payload.
        path: PathBuf,
        /// What is not there.
        missing: &'static str,
    },
    /// The payload holds something else than files, directories and links.
    #[error("{path} of the agent's image is neither file, directory nor a link that stays inside")]
    PayloadEntry {
        /// The odd one.
        path: PathBuf,
    },
    /// containerd's configuration cannot take the entry.
    #[error("the runtime entry cannot be added")]
    Config(#[from] ConfigError),
    /// Something on the node did not answer or failed.
    #[error("the node's container engine cannot be set up")]
    Node(#[from] NodeError),
    /// `containerd config dump` shows something else than was meant; the change has been taken back.
    #[error(
        "containerd reads its configuration differently than expected ({found}); the change to {path} has been taken back"
    )]
    Verify {
        /// File that had been changed.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// containerd did not come back with the handler; the change has been taken back.
    #[error(
        "containerd did not list the runtime handler `godwit` within {seconds} s of its restart; the change to its configuration has been taken back"
    )]
    NotTaken {
        /// Seconds waited.
        seconds: u64,
    },
    /// The same change has failed before.
    #[error(
        "containerd was restarted with this very configuration before and did not take the handler; change {path}, or remove {record} to try again"
    )]
    FailedBefore {
        /// Main configuration file.
        path: PathBuf,
        /// The record that remembers it.
        record: PathBuf,
    },
    /// The record of the installation is no such.
    #[error("{path} cannot be understood; compare it with containerd's configuration, then remove it")]
    Record {
        /// Path as seen by the agent.
        path: PathBuf,
        /// Cause.
        #[source]
        source: serde_json::Error,
    },
    /// Pods depend on what would be removed.
    #[error("still in use on this node: {}; delete or move them first", users.join(", "))]
    InUse {
        /// Pods as namespace/name, and what else is there.
        users: Vec<String>,
    },
}

impl InstallError {
    /// Stable `PascalCase` reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::File { .. } => "FileOperation",
            Self::Payload { .. } | Self::PayloadEntry { .. } => "BrokenImage",
            Self::Config(error) => error.reason(),
            Self::Node(error) => error.reason(),
            Self::Verify { .. } => "ConfigNotAsExpected",
            Self::NotTaken { .. } => "HandlerNotTaken",
            Self::FailedBefore { .. } => "HandlerNotTakenBefore",
            Self::Record { .. } => "RecordMalformed",
            Self::InUse { .. } => "InUse",
        }
    }
}

/// Gives an I/O error its place.
pub(super) trait FileContext<T> {
    fn during(self, what: &'static str, path: &std::path::Path) -> Result<T, InstallError>;
}

impl<T> FileContext<T> for io::Result<T> {
    fn during(self, what: &'static str, path: &std::path::Path) -> Result<T, InstallError> {
        self.map_err(|source| InstallError::File {
            what,
            path: path.to_owned(),
            source,
        })
    }
}

impl<T> FileContext<T> for Result<T, nix::Error> {
    fn during(self, what: &'static str, path: &std::path::Path) -> Result<T, InstallError> {
        self.map_err(io::Error::from).during(what, path)
    }
}
