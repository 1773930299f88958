//! Hiding lazy memory from CRIU, so that the time of a lazy dump does not grow with it.
//!
//! CRIU's lazy dump still visits every lazy page: it looks it up in `/proc/PID/pagemap`, has the task splice it into a pipe and frees the
//! pipe again at the end (0.13 to 0.2 s per GiB; see `docs/memory.md` for what was tried instead). With a *veil* it sees none of them: in a mount
//! namespace of CRIU and the relay alone, a file that says "not present" for them lies over `/proc/PID/pagemap`. The pages' addresses go into
//! [`HIDDEN`] files beside the images, and [`merge`] puts them into the pagemaps, which then say what CRIU would have said.
//!
//! What holds it together:
//! - Only pages are hidden that CRIU would call lazy, by a rule narrower than its own; [`merge`] checks every one against CRIU's own
//!   word on its mapping and fails if they disagree.
//! - A veil that comes too late or not at all hides nothing and costs nothing but the time: merging is a union.
//! - The flags of mappings, which take the kernel long to write, are noted ahead and compared with the truth before the commit ([`difference`]).
//! - The mount namespace ends with CRIU and the relay, whoever kills them; nothing is left behind.

mod flags;
mod hide;
mod image;
mod list;
mod mappings;
mod merge;

pub use flags::{FLAGS, difference, essence};
pub use hide::{Hiding, private_mounts};
pub use merge::{hidden, merge};

use std::io;
use std::path::PathBuf;

/// Files of hidden pages: this, the PID in the container, and `.img`.
pub const HIDDEN: &str = "hidden-";
/// CRIU's environment variable, and its value by which CRIU reads pagemaps instead of asking `PAGEMAP_SCAN` for the pages to dump
/// (`FI_DONT_USE_PAGEMAP_SCAN` in CRIU 4.2's fault-injection.h; not fatal). A CRIU to which the number says something else asks the veil by ioctl and
/// fails the dump.
pub const FAULT: (&str, &str) = ("CRIU_FAULT", "135");

/// Bytes of a page. Where the kernel's differ nothing is hidden.
const PAGE: u64 = 4096;

/// Why lazy memory cannot be hidden, or hidden memory not be found again.
#[derive(Debug, thiserror::Error)]
pub enum VeilError {
    /// A file.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A system call.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The cause.
        #[source]
        source: nix::errno::Errno,
    },
    /// A file that is not what its name says.
    #[error("{path} is damaged: {why}", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// Memory that would be lost.
    #[error("page {address:#x} of process {ns_pid} was hidden from CRIU, which has no lazy mapping there")]
    NotLazy {
        /// The PID in the container.
        ns_pid: i32,
        /// The page's address.
        address: u64,
    },
    /// These images are of a lazy dump.
    #[error("the images in {path} lack hidden memory; they can only be restored lazily", path = path.display())]
    OnlyLazily {
        /// The images.
        path: PathBuf,
    },
}

impl VeilError {
    /// The stable reason of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Io { .. } | Self::System { .. } => "VeilFailed",
            Self::Malformed { .. } => "ImagesMalformed",
            Self::NotLazy { .. } => "HiddenNotLazy",
            Self::OnlyLazily { .. } => "OnlyLazily",
        }
    }

    fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    fn system(action: &'static str) -> impl FnOnce(nix::errno::Errno) -> Self {
        move |source| Self::System { action, source }
    }
}

/// Pages in a row, from the first byte to behind the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The address of the first byte; a multiple of 4096.
    pub start: u64,
    /// The address behind the last byte; a multiple of 4096, and above `start`.
    pub end: u64,
}
