//! Which cgroups a process is in, on cgroup v1 and v2, and how to move, freeze and end the processes of one.

mod freezer;
mod membership;

pub use freezer::Freezer;
pub use membership::Membership;

use std::path::{Path, PathBuf};
use std::{fs, io};

/// Why a cgroup cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A file cannot be read or written.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// "read" or "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// No mounted hierarchy can freeze.
    #[error(
        "process {pid} is in no mounted cgroup that can be frozen; mount the freezer hierarchy or cgroup v2"
    )]
    NoFreezer {
        /// The process.
        pid: i32,
    },
    /// The cgroup did not get frozen in time.
    #[error("{path} is still {state:?} after {limit_ms} ms", path = path.display())]
    NotFrozen {
        /// The cgroup.
        path: PathBuf,
        /// What it says instead.
        state: String,
        /// The limit in milliseconds.
        limit_ms: u128,
    },
    /// Killed processes did not go in time.
    #[error("{count} processes of {path} are still there {limit_ms} ms after SIGKILL", path = path.display())]
    NotGone {
        /// The cgroup.
        path: PathBuf,
        /// How many.
        count: usize,
        /// The limit in milliseconds.
        limit_ms: u128,
    },
}

impl CgroupError {
    /// The stable reason of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Io { .. } => "CgroupUnavailable",
            Self::NoFreezer { .. } => "NoFreezer",
            Self::NotFrozen { .. } => "NotFrozen",
            Self::NotGone { .. } => "NotGone",
        }
    }
}

/// The PIDs in a cgroup and those below it; one that is gone has none.
fn pids_below(directory: &Path) -> Result<Vec<i32>, CgroupError> {
    let mut pids = Vec::new();
    let mut left = vec![directory.to_path_buf()];
    while let Some(directory) = left.pop() {
        let text = match read(&directory.join("cgroup.procs")) {
            Ok(text) => text,
            Err(CgroupError::Io { source, .. }) if is_gone(&source) => continue,
            Err(error) => return Err(error),
        };
        pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        left.extend(
            entries
                .flatten()
                .filter(|e| e.file_type().is_ok_and(|t| t.is_dir()))
                .map(|e| e.path()),
        );
    }
    Ok(pids)
}

/// Sends SIGKILL to processes. PID 0, which stands for one of another PID namespace, and this process are left out.
fn kill(pids: &[i32]) {
    let me = nix::unistd::getpid().as_raw();
    for pid in pids.iter().filter(|pid| **pid > 0 && **pid != me) {
        // One that has ended meanwhile is what is wanted.
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(*pid),
            nix::sys::signal::Signal::SIGKILL,
        );
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}

fn read(path: &Path) -> Result<String, CgroupError> {
    fs::read_to_string(path).map_err(|source| CgroupError::Io {
        action: "read",
        path: path.to_path_buf(),
        source,
    })
}

fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    let written = fs::OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| {
            use io::Write as _;
            file.write_all(value.as_bytes())
        });
    written.map_err(|source| CgroupError::Io {
        action: "write",
        path: path.to_path_buf(),
        source,
    })
}
