//! Why memory cannot be tracked.

use std::io;

use super::InjectError;

/// Why a round failed. The caller then copies the memory during the freeze, as if there were no tracker; whatever was tracked ends with
/// the tracker.
#[derive(Debug, thiserror::Error)]
pub enum TrackError {
    /// The kernel's pages are not of 4096 bytes.
    #[error("pages of {bytes} bytes are not supported")]
    PageSize {
        /// What a page has.
        bytes: u64,
    },
    /// The main thread has ended and others go on; CRIU cannot dump that either.
    #[error("process {pid} goes on without its main thread")]
    ZombieLeader {
        /// The process.
        pid: i32,
    },
    /// Somebody traces the process already (a debugger, strace).
    #[error("process {pid} is traced by process {tracer}")]
    AlreadyTraced {
        /// The process.
        pid: i32,
        /// The tracer.
        tracer: i32,
    },
    /// No userfaultfd could be had from the process.
    #[error("process {pid} cannot be write-protected")]
    Injection {
        /// The process.
        pid: i32,
        /// Why.
        #[source]
        source: InjectError,
    },
    /// The kernel has no asynchronous write-protection (before Linux 6.7, or not for this architecture).
    #[error("the kernel cannot write-protect memory asynchronously")]
    NoWriteProtection(#[source] io::Error),
    /// Soft-dirty bits of the process could not be cleared, or its threads not be stopped for that.
    #[error("the soft-dirty bits of process {pid} cannot be reset")]
    SoftDirty {
        /// The process.
        pid: i32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file below /proc could not be read, or the page map not be scanned.
    #[error("reading {what} of process {pid}")]
    Read {
        /// The process.
        pid: i32,
        /// What was read.
        what: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl TrackError {
    /// A stable name of the error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::PageSize { .. } => "PageSizeUnsupported",
            Self::ZombieLeader { .. } => "ZombieLeader",
            Self::AlreadyTraced { .. } => "AlreadyTraced",
            Self::Injection { source, .. } => source.reason(),
            Self::NoWriteProtection(_) => "WriteProtectionUnsupported",
            Self::SoftDirty { .. } => "SoftDirtyFailed",
            Self::Read { .. } => "TrackReadFailed",
        }
    }

    /// A failure to read something of a process.
    pub(super) fn read(pid: i32, what: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Read { pid, what, source }
    }
}
