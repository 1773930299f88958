//! Pages that have arrived.
//!
//! One sparse file per process, `<nspid>.pages`, in which the offset of a page is its address: nothing has to be looked up, a page that
//! comes again overwrites itself, and whoever reads it needs no index. Zero pages are holes. The directory must lie on a tmpfs, whose
//! files may reach 2^63 bytes (those of ext4 end at 16 TiB and an address does not).
//!
//! The agent writes ([`Store`]) and knows in its memory what has come; the page server reads ([`Source`]) and gives the memory back
//! piece by piece. They share nothing but the files.

mod source;
mod writer;

use std::path::{Path, PathBuf};

pub use source::{Segment, Source, Window};
pub use writer::Store;

/// Why pages cannot be kept or found.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system of the store is full.
    #[error("no room for pages in {path}: the file system is full", path = path.display())]
    NoSpace {
        /// The file of the process.
        path: PathBuf,
    },
    /// A file cannot be made, read or written.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// An address or length that no process has.
    #[error("pages at {start:#x} with {bytes} bytes are no pages of a process")]
    Address {
        /// The address.
        start: u64,
        /// The length.
        bytes: u64,
    },
    /// More processes or more spread memory than the store accounts for.
    #[error("the store accounts for no more {what}")]
    TooMuch {
        /// Of what there is too much.
        what: &'static str,
    },
    /// Pages of a process are referred to that has none.
    #[error("no pages of process {ns_pid} are here")]
    NoProcess {
        /// The PID in the container.
        ns_pid: i32,
    },
}

impl StoreError {
    /// The stable reason of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoSpace { .. } => "NoSpaceForPages",
            Self::Io { .. } => "PageStoreUnavailable",
            Self::Address { .. } => "PageAddressInvalid",
            Self::TooMuch { .. } => "PageStoreTooLarge",
            Self::NoProcess { .. } => "PagesMissing",
        }
    }

    /// The error of a call on `path`; a full file system has its own.
    fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        if matches!(source.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT)) {
            return Self::NoSpace {
                path: path.to_path_buf(),
            };
        }
        Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }
}

/// The file of a process in the directory of a store.
pub fn pages_path(dir: &Path, ns_pid: i32) -> PathBuf {
    dir.join(format!("{ns_pid}.pages"))
}

#[cfg(test)]
mod tests;
