//! What can go wrong when a tree is read, carried or written.

use std::{fmt, io};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure to read, carry or write a tree of files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading the source tree failed.
    #[error("cannot {op} {path:?} of the source tree")]
    Read {
        /// The operation, as a verb.
        op: &'static str,
        /// Path relative to the root of the tree, lossy.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// Writing the target tree failed.
    #[error("cannot {op} {path:?} in the target tree")]
    Write {
        /// The operation, as a verb.
        op: &'static str,
        /// Path relative to the root of the tree, lossy.
        path: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file system of the target is full, or would be.
    #[error(
        "no space for {path:?} on the target node: {needed} bytes needed, {free} free; free space there or choose another node"
    )]
    NoSpace {
        /// Path relative to the root of the tree, lossy.
        path: String,
        /// Bytes that this file needs.
        needed: u64,
        /// Bytes that the file system has left.
        free: u64,
    },
    /// The target's file system refuses an extended attribute.
    #[error("the target's file system refuses the extended attribute {name:?} of {path:?}")]
    Xattr {
        /// Path relative to the root of the tree, lossy.
        path: String,
        /// Name of the attribute, lossy.
        name: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The byte stream itself could not be read or written.
    #[error("the stream of files broke")]
    Stream(#[source] io::Error),
    /// The stream ended before its end marker.
    #[error("the stream of files ends early")]
    Truncated,
    /// The stream holds something that no writer produces.
    #[error("the stream of files is corrupt: {0}")]
    Corrupt(&'static str),
    /// The stream was written by a version that this one does not know.
    #[error(
        "the stream of files has format version {found}, this agent reads version {known}; use the same release on both nodes"
    )]
    Version {
        /// Version found in the stream.
        found: u16,
        /// The only version known here.
        known: u16,
    },
    /// Something is larger than the format carries or the caller allows.
    #[error("{what} of {path:?} is above the limit of {limit}")]
    TooBig {
        /// What was measured.
        what: &'static str,
        /// Path relative to the root of the tree, lossy.
        path: String,
        /// The largest value taken.
        limit: u64,
    },
    /// A path of the stream is not a plain relative path.
    #[error("the stream of files holds the illegal path {0:?}")]
    Path(String),
    /// The data of a file or directory lies in lower layers, and the source was opened without its merged view.
    #[error(
        "{0:?} keeps its data in a lower layer (metacopy or redirect_dir) and no merged view of the source was given"
    )]
    NeedsMerged(String),
    /// A file changed while the container was said to be frozen.
    #[error("{0:?} changed while its container was frozen; something outside the container writes to it")]
    ChangedWhileFrozen(String),
    /// A round or delta arrived that was not made for what has been applied here.
    #[error("changes arrived for a base copy that has not been applied here")]
    DeltaWithoutBase,
}

impl Error {
    /// A stable `PascalCase` word for conditions and events.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Read { .. } => "FilesReadFailed",
            Self::Write { .. } => "FilesWriteFailed",
            Self::NoSpace { .. } => "FilesNoSpace",
            Self::Xattr { .. } => "FilesXattrUnsupported",
            Self::Stream(_) => "FilesStreamBroken",
            Self::Truncated => "FilesStreamTruncated",
            Self::Corrupt(_) => "FilesStreamCorrupt",
            Self::Version { .. } => "FilesVersionUnknown",
            Self::TooBig { .. } => "FilesLimitExceeded",
            Self::Path(_) => "FilesPathRefused",
            Self::NeedsMerged(_) => "FilesMergedViewMissing",
            Self::ChangedWhileFrozen(_) => "FilesChangedWhileFrozen",
            Self::DeltaWithoutBase => "FilesDeltaWithoutBase",
        }
    }

    pub(crate) fn read(op: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Read {
            op,
            path: shown(path),
            source: source.into(),
        }
    }

    pub(crate) fn write(op: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Write {
            op,
            path: shown(path),
            source: source.into(),
        }
    }

    /// True if the thing that was to be read is no longer where it was: ordinary while processes run.
    pub(crate) fn is_gone(&self) -> bool {
        let Self::Read { source, .. } = self else {
            return false;
        };
        // ELOOP: a directory or file became a symbolic link. EXDEV: something was mounted on it.
        matches!(
            source.raw_os_error().map(rustix::io::Errno::from_raw_os_error),
            Some(
                rustix::io::Errno::NOENT
                    | rustix::io::Errno::NOTDIR
                    | rustix::io::Errno::LOOP
                    | rustix::io::Errno::XDEV
                    | rustix::io::Errno::NXIO
                    | rustix::io::Errno::NODEV
                    | rustix::io::Errno::STALE
            )
        )
    }
}

/// A path for messages: lossy, and short enough for a log line.
pub(crate) fn shown(path: &[u8]) -> String {
    const LONGEST: usize = 200;
    struct Tail(bool);
    impl fmt::Display for Tail {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            if self.0 { f.write_str("…") } else { Ok(()) }
        }
    }
    let cut = path.get(..LONGEST).unwrap_or(path);
    format!("{}{}", String::from_utf8_lossy(cut), Tail(cut.len() < path.len()))
}
