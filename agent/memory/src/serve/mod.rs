//! Giving pages to restored processes when they touch them, and all others soon after.
//!
//! `godwit-pages serve DIR` is two processes. The *holder* listens for CRIU, then only waits for the *worker*, starts another one if it is
//! killed, and thereby keeps every userfaultfd open: the two share their descriptor table. (A userfaultfd that is closed too early turns
//! every page that is still missing into zeros.) The worker outlives a killed holder. See `board.rs` for what happens to state.
//!
//! CRIU's side (`criu/uffd.c`): one connection; for each process an int32 PID (negative: a zombie, nothing follows), then one byte with the
//! descriptor; at the end 0x52535446. The server never answers. Serving begins with the first descriptor, because CRIU's restorer
//! itself touches missing pages.
//!
//! # What was decided, and why
//!
//! * Absent pages (never due) are zeroed in bulk ahead of the touch, not unregistered: `UFFDIO_UNREGISTER` does not look whether an event
//!   is on its way, so it could hit a mapping that was just moved there, and it splits mappings, which mremap(2) then refuses to move.
//! * Background fill begins with the first descriptor, not with the end of the restore: what is not registered yet answers ENOENT, costs
//!   nothing, and is tried again.
//! * Everyone who holds a duplicate of a userfaultfd keeps touches of absent pages waiting after the server has closed its own. Neither
//!   CRIU nor this server leaves one behind; whoever else receives one must close it.
//! * The kernel reports a fork after it has copied the memory, and other threads' events may come before: pages that one thread
//!   gives up while another one forks may be missing in the child. CRIU's own server has the same limit.
//!
//! * When CRIU says that it is finished, nothing has run: it is looked whether each mapping with pages that are due is registered, for CRIU
//!   leaves out one that it happens to make at its final address at once. See `places.rs`.
//!
//! # Figures
//!
//! `cargo run --release --example fill_speed 1024` on 2 cores, Linux 6.18, tmpfs, in turn within one run while the machine was busy with
//! other work (load 2 to 5), so the ratios count, and a touch measures above all how soon the woken application runs again:
//!
//! | variant | GiB/s alone | GiB/s with a touch each 200 us | touch, median / p99 |
//! |---|---|---|---|
//! | chunks of 64 KiB | 1.30 | 1.12 | 1.2 / 3.5 ms |
//! | chunks of 256 KiB | 1.54 | 1.03 | 1.7 / 4.9 ms |
//! | chunks of 1 MiB | 1.64 | 0.96 | 1.6 / 4.4 ms |
//! | 256 KiB, nothing ahead of a touch | 1.56 | 0.95 | 0.5 / 4.8 ms |
//! | 256 KiB, filling at nice 10 | 1.32 | 1.07 | 0.9 / 4.4 ms |
//! | 256 KiB, two filling threads | 1.59 | 1.30 | 0.2 / 2.3 ms |
//!
//! Filling is not made nicer than the application: a filling thread that waits for the processor holds the table, and a touch waits with
//! it. Finding holes by `SEEK_HOLE` made all of this 10 to 40 times slower (0.03 GiB/s with chunks of 64 KiB); see
//! [`Window::segment`](crate::store::Window::segment).
//!
//! How long filling is gentle ([`Tuning::gentle_ms`]) was not seen to matter to the application: the noise is larger. `examples/first_second 1024
//! 3` (random writes at 50 MB/s, 1 GiB, medians of 3, machine shared with other work, load 2 to 5) gave as the rate of the first second, in
//! percent of the later one:
//!
//! | | gentle 1 s | 0.3 s | never |
//! |---|---|---|---|
//! | the application at nice 8, alone | 31 | 28 | 33 |
//! | the same, two programs beside that take half a processor each | 54 | 69 | 63 |
//! | the application at nice 0, alone | 74 | | 64 |
//! | the same, two programs beside | 60 | | 61 |
//!
//! `SCHED_IDLE`, two filling threads, 16 or 256 KiB ahead, and fault threads that poll for up to 1 ms before they sleep were tried in one run or
//! two each, and were better in some cells and worse in others. So nothing was changed.
//!
//! Files in DIR: [`CONFIG`], [`PROGRESS`], [`CHECKED`], [`DONE`], [`FAILED`].

mod board;
mod claims;
mod faults;
mod files;
mod fill;
mod holder;
mod intake;
mod message;
mod origin;
mod places;
mod snapshot;
mod space;
mod table;
mod uffd;
mod worker;

use std::path::{Path, PathBuf};

pub use files::{
    CHECKED, CONFIG, Checked, Config, DONE, Done, FAILED, Failed, PROGRESS, Progress, Tuning, read, write,
};
pub use holder::run;

use crate::images::ImageError;
use crate::store::StoreError;

/// The reason of a [`Failed`] restore that a further attempt may spare: pages have no place in the restored processes.
pub const UNPLACED: &str = "PagesUnplaced";

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
    /// Memory of a restored process is not what CRIU should have made of it.
    #[error(
        "memory of process {ns_pid} at {address:#x} would be lost, for {why}; try again (CRIU then chooses other addresses), or set spec.memory to StopAndCopy"
    )]
    Unplaced {
        /// The PID in the container.
        ns_pid: i32,
        /// Where.
        address: u64,
        /// What was found.
        why: &'static str,
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
            Self::Unplaced { .. } => UNPLACED,
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
