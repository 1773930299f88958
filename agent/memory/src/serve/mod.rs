//! Giving pages to restored processes when they touch them, and all others soon after.
//!
//! `godwit-pages serve DIR` is two processes. The *holder* listens for CRIU, then only waits for the *worker*, starts another one if it is
//! killed, and thereby keeps every userfaultfd open: the two share their descriptor table. (A userfaultfd that is closed too early turns
//! every page that is still missing into zeros.) The worker outlives a killed holder. See [`board`] for what happens to state.
//!
//! CRIU's side (`criu/uffd.c`): one connection; for each process an int32 PID (negative: a zombie, nothing follows), then one byte with the
//! descriptor; at the end 0x52535446. The server never answers. Serving begins with the first descriptor, because CRIU's restorer
//! itself touches missing pages.
//!
//! Files in DIR: [`CONFIG`], [`PROGRESS`], [`DONE`], [`FAILED`].

mod board;
mod claims;
mod faults;
mod files;
mod fill;
mod holder;
mod intake;
mod message;
mod origin;
mod snapshot;
mod space;
mod table;
mod uffd;
mod worker;

use std::path::{Path, PathBuf};

pub use files::{CONFIG, Config, DONE, Done, FAILED, Failed, PROGRESS, Progress, Tuning, read, write};
pub use holder::run;

use crate::images::ImageError;
use crate::store::StoreError;

/// Why pages cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A call on a file, socket or process failed.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// Someone else could have written the file.
    #[error("{path} is not trusted: others may write it", path = path.display())]
    Untrusted {
        /// The file.
        path: PathBuf,
    },
    /// The file is not the JSON expected.
    #[error("{path} is not what it should be", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// There is nothing to serve in the directory.
    #[error("{path} is not there", path = path.display())]
    NoConfig {
        /// The file.
        path: PathBuf,
    },
    /// CRIU did not connect in time.
    #[error("no restore has connected in time")]
    NoConnection,
    /// The connection ended before the restore was finished.
    #[error("the restore has ended its connection before it was finished")]
    ConnectionLost,
    /// The restore was not finished in time.
    #[error("the restore was not finished in time")]
    TooLate,
    /// What came over the connection is not CRIU's protocol.
    #[error("the restore does not speak the protocol of lazy pages: {why}")]
    Protocol {
        /// What was wrong.
        why: &'static str,
    },
    /// A process without pages in the images.
    #[error("process {ns_pid} has no memory in the images")]
    UnknownProcess {
        /// The PID in the container.
        ns_pid: i32,
    },
    /// More address spaces than the server has room for.
    #[error("more address spaces than can be served")]
    TooManySpaces,
    /// The images are unusable.
    #[error("the images are unusable")]
    Images(#[from] ImageError),
    /// The page store is unusable.
    #[error("the page store is unusable")]
    Store(#[from] StoreError),
}

impl ServeError {
    /// The stable reason of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Io { .. } => "PageServerFailed",
            Self::Untrusted { .. } => "PageServerFileUntrusted",
            Self::Malformed { .. } | Self::NoConfig { .. } => "PageServerConfigInvalid",
            Self::NoConnection => "RestoreNeverConnected",
            Self::ConnectionLost => "RestoreConnectionLost",
            Self::TooLate => "RestoreTooLate",
            Self::Protocol { .. } | Self::UnknownProcess { .. } => "RestoreProtocolViolation",
            Self::TooManySpaces => "TooManyProcesses",
            Self::Images(error) => error.reason(),
            Self::Store(error) => error.reason(),
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }
}
