//! Freezing, thawing and ending the processes of a cgroup.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::{CgroupError, Membership, is_gone, kill, pids_below, read, write};

/// The two ways of freezing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// A cgroup that can be frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freezer {
    pub(super) directory: PathBuf,
    pub(super) version: Version,
}

impl Freezer {
    /// The freezer of a process.
    pub fn of(pid: i32) -> Result<Self, CgroupError> {
        Membership::of(pid)?
            .freezer()
            .ok_or(CgroupError::NoFreezer { pid })
    }

    /// The freezer of a cgroup by its directory.
    pub fn at(directory: &Path) -> Self {
        let version = if directory.join("freezer.state").exists() {
            Version::V1
        } else {
            Version::V2
        };
        Self {
            directory: directory.to_path_buf(),
            version,
        }
    }

    /// Whether there is but one hierarchy (v2).
    pub fn is_unified(&self) -> bool {
        self.version == Version::V2
    }

    /// The cgroup's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether freezing or ending this cgroup would hit `other` too.
    pub fn contains(&self, other: &Self) -> bool {
        other.directory.starts_with(&self.directory)
    }

    /// Whether every task of the cgroup is frozen.
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        Ok(match self.version {
            Version::V1 => self.state()? == "FROZEN",
            Version::V2 => self.state()?.lines().any(|line| line == "frozen 1"),
        })
    }

    fn state(&self) -> Result<String, CgroupError> {
        let file = match self.version {
            Version::V1 => "freezer.state",
            Version::V2 => "cgroup.events",
        };
        Ok(read(&self.directory.join(file))?.trim().to_owned())
    }

    /// Freezes the cgroup and waits until it is frozen.
    pub fn freeze(&self, limit: Duration) -> Result<(), CgroupError> {
        let end = Instant::now() + limit;
        self.write_state(true)?;
        while !self.is_frozen()? {
            if Instant::now() >= end {
                let (path, state) = (self.directory.clone(), self.state()?);
                return Err(CgroupError::NotFrozen {
                    path,
                    state,
                    limit_ms: limit.as_millis(),
                });
            }
            // v1 has no event for it: the state moves on only when it is read. It takes well below a millisecond.
            thread::sleep(Duration::from_micros(100));
        }
        Ok(())
    }

    /// Lets the cgroup's tasks run.
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.write_state(false)
    }

    fn write_state(&self, frozen: bool) -> Result<(), CgroupError> {
        let (file, value) = match (self.version, frozen) {
            (Version::V1, true) => ("freezer.state", "FROZEN"),
            (Version::V1, false) => ("freezer.state", "THAWED"),
            (Version::V2, true) => ("cgroup.freeze", "1"),
            (Version::V2, false) => ("cgroup.freeze", "0"),
        };
        write(&self.directory.join(file), value)
    }

    /// The PIDs in this cgroup and those below it.
    pub fn pids(&self) -> Result<Vec<i32>, CgroupError> {
        pids_below(&self.directory)
    }

    /// Sends SIGKILL to every process of the cgroup. On a frozen one that is all of them for good: none can fork, and when it is
    /// thawed each ends before it runs another instruction. Gives their number.
    pub fn kill_all(&self) -> Result<usize, CgroupError> {
        let pids = self.pids()?;
        kill(&pids);
        Ok(pids.len())
    }

    /// Ends every process of the cgroup so that none of them runs another instruction: frozen first, then SIGKILL, then thawed.
    /// A cgroup that is gone is no error.
    pub fn end_all(&self, limit: Duration) -> Result<(), CgroupError> {
        let end = Instant::now() + limit;
        if !self.directory.exists() {
            return Ok(());
        }
        // A cgroup that does not get frozen must be ended all the same.
        let _ = self.freeze(Duration::from_secs(1));
        loop {
            let count = self.kill_all()?;
            match self.thaw() {
                Ok(()) => {}
                Err(CgroupError::Io { source, .. }) if is_gone(&source) => return Ok(()),
                Err(error) => return Err(error),
            }
            if count == 0 {
                return Ok(());
            }
            if Instant::now() >= end {
                let path = self.directory.clone();
                return Err(CgroupError::NotGone {
                    path,
                    count,
                    limit_ms: limit.as_millis(),
                });
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}
