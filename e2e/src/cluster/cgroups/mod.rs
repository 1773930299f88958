//! A node's own cgroups, always below the groups of the process that starts the cluster, never beside them.

mod v1;
mod v2;

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// How long killed processes may take to go. A process that the kernel writes a core of takes a while.
const ENDING: Duration = Duration::from_secs(20);

/// Which version of cgroups holds the controllers of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// One hierarchy for each controller. A hybrid host counts as this.
    V1,
    /// One hierarchy for all.
    V2,
}

/// One group by one name in every hierarchy of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Groups {
    /// Which version the machine has.
    pub version: Version,
    /// The group's folder in each hierarchy, as the host sees it.
    pub dirs: Vec<PathBuf>,
}

impl Groups {
    /// Where a group called `name` is to be, below this process's own groups. Nothing is created.
    pub fn plan(name: &str) -> Result<Self> {
        let membership = std::fs::read_to_string("/proc/self/cgroup").context("read /proc/self/cgroup")?;
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").context("read /proc/self/mountinfo")?;
        let dirs = v1::own_dirs(&membership, &mounts);
        if !dirs.is_empty() {
            return Ok(Self {
                version: Version::V1,
                dirs: dirs.into_iter().map(|dir| dir.join(name)).collect(),
            });
        }
        let own = v2::own_dir(&membership, &mounts)
            .context("no cgroup hierarchy is mounted that this process is a member of")?;
        Ok(Self {
            version: Version::V2,
            dirs: vec![own.join(name)],
        })
    }

    /// Create the group in every hierarchy, ready to be joined.
    pub fn create(&self) -> Result<()> {
        match self.version {
            Version::V1 => v1::create(&self.dirs),
            Version::V2 => v2::create(&self.dirs),
        }
    }

    /// The files to write `0` to, for a process that joins.
    pub fn join_files(&self) -> Result<Vec<File>> {
        self.dirs
            .iter()
            .map(|dir| {
                let leaf = match self.version {
                    Version::V1 => dir.clone(),
                    Version::V2 => v2::leaf(dir),
                };
                let path = leaf.join("cgroup.procs");
                OpenOptions::new()
                    .write(true)
                    .open(&path)
                    .with_context(|| format!("open {}", path.display()))
            })
            .collect()
    }

    /// The group's directories and all below them, parents first.
    pub fn all(&self) -> Vec<PathBuf> {
        self.dirs.iter().flat_map(|dir| below(dir)).collect()
    }

    /// All processes in the group and below it.
    pub fn processes(&self) -> Vec<i32> {
        let mut all: Vec<i32> = self.all().iter().flat_map(|dir| members(dir)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// End all processes of the group and remove it, whatever state it is in: what is frozen is thawed first, else
    /// it could not die. A group that is not there is fine. Fails if something does not go in time.
    pub fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + ENDING;
        loop {
            match self.version {
                Version::V1 => self.dirs.iter().for_each(|dir| v1::thaw(&below(dir))),
                Version::V2 => self.dirs.iter().for_each(|dir| v2::thaw(&below(dir))),
            }
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            for &pid in &left {
                // It may be gone already.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            if Instant::now() > deadline {
                bail!("processes do not end: {left:?} in {:?}", self.dirs);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        for dir in &self.dirs {
            for group in below(dir).iter().rev() {
                remove_empty(group, deadline)?;
            }
        }
        Ok(())
    }
}

/// A group can be busy for a moment after its last process went.
fn remove_empty(group: &Path, deadline: Instant) -> Result<()> {
    loop {
        match std::fs::remove_dir(group) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("remove cgroup {}", group.display()));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// The group and all groups below it, parents first. Empty if there is no such group.
fn below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    if !dir.is_dir() {
        return found;
    }
    let mut open = vec![dir.to_path_buf()];
    while let Some(next) = open.pop() {
        if let Ok(entries) = std::fs::read_dir(&next) {
            open.extend(
                entries
                    .flatten()
                    .filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()))
                    .map(|e| e.path()),
            );
        }
        found.push(next);
    }
    found
}

/// The processes in a group, without those below it; none if it has gone.
pub fn members(dir: &Path) -> Vec<i32> {
    let text = std::fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.parse().ok())
        .filter(|&pid| pid > 0)
        .collect()
}

/// Mount the hierarchies at `root`/sys/fs/cgroup the way an ordinary host of this machine's version has them. To be
/// called in the node's own cgroup namespace.
pub fn mount_in_node(root: &Path) -> Result<()> {
    let membership = std::fs::read_to_string("/proc/self/cgroup").context("read /proc/self/cgroup")?;
    let at = root.join("sys/fs/cgroup");
    if v1::hierarchies(&membership).is_empty() {
        v2::mount(&at)
    } else {
        v1::mount(&at, &membership)
    }
}
