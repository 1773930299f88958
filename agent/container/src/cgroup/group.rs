//! The group in which runtime calls run, so that the end of the agent's own pod does not end them.

use std::io;
use std::path::{Path, PathBuf};

use godwit_proc::bounded;
use serde::{Deserialize, Serialize};

use super::CgroupError;
use super::hierarchy::{gone, memberships, mounted};
use crate::host::Host;

/// How often a group that another removes at the same moment is made again.
const ATTEMPTS: usize = 5;

/// Below what a group is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parent {
    /// The root that the host mounts: for an agent. The root has no limits, and may hold both processes and groups in version 2, which
    /// `init.scope` of systemd may not.
    Root,
    /// The group of the host's own process.
    Host,
}

/// A group of the same name in every hierarchy that the host mounts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnGroup {
    directories: Vec<PathBuf>,
}

impl OwnGroup {
    /// Names the group; nothing is made yet.
    pub fn new(host: &Host, parent: Parent, name: &str) -> Result<Self, CgroupError> {
        let parents: Vec<_> = match parent {
            Parent::Root => mounted(host)?.into_iter().map(|one| one.point).collect(),
            Parent::Host => memberships(host, host.pid)?
                .into_iter()
                .map(|one| one.directory)
                .collect(),
        };
        Ok(Self {
            directories: parents
                .iter()
                .map(|parent| host.path(parent).join(name))
                .collect(),
        })
    }

    /// Its directories, as this process can reach them.
    pub fn directories(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Makes the group where it is missing.
    pub fn make(&self) -> Result<(), CgroupError> {
        self.directories.iter().try_for_each(|directory| make(directory))
    }

    /// Makes the group where it is missing and moves a process into it.
    pub fn join(&self, pid: i32) -> Result<(), CgroupError> {
        self.directories
            .iter()
            .try_for_each(|directory| join_one(directory, pid))
    }

    /// Removes the group from every hierarchy in which it is empty. True if it is gone everywhere.
    pub fn remove_if_empty(&self) -> Result<bool, CgroupError> {
        let mut all_gone = true;
        for directory in &self.directories {
            match std::fs::remove_dir(directory) {
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => all_gone = false,
                Err(error) if !gone(&error) => return Err(CgroupError::file("remove", directory)(error)),
                _ => {}
            }
        }
        Ok(all_gone)
    }
}

fn join_one(directory: &Path, pid: i32) -> Result<(), CgroupError> {
    let procs = directory.join("cgroup.procs");
    let mut attempt = 1;
    loop {
        make(directory)?;
        // One write call with the whole number is what the kernel takes.
        let written = std::fs::OpenOptions::new()
            .write(true)
            .open(&procs)
            .and_then(|mut file| io::Write::write_all(&mut file, pid.to_string().as_bytes()));
        match written {
            Err(error) if gone(&error) && attempt < ATTEMPTS => attempt += 1,
            other => return other.map_err(CgroupError::file("write", procs)),
        }
    }
}

fn make(directory: &Path) -> Result<(), CgroupError> {
    match std::fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(CgroupError::file("make", directory)(error));
        }
        _ => {}
    }
    // A new cpuset of version 1 allows no CPU and no memory node, and so no process.
    for name in ["cpuset.cpus", "cpuset.mems"] {
        let (path, above) = (directory.join(name), directory.join("..").join(name));
        let Ok(text) = bounded::read_text(&path, 64 << 10) else {
            continue;
        };
        let effective = path.with_extension(format!("{}.effective", &name[7..]));
        if text.trim().is_empty() && !effective.exists() {
            let given = bounded::read_text(&above, 64 << 10).map_err(CgroupError::file("read", above))?;
            std::fs::write(&path, given.trim_end()).map_err(CgroupError::file("write", path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_cpuset_is_given_what_the_one_above_has() {
        let dir = tempfile::tempdir().unwrap();
        let group = dir.path().join("godwit");
        std::fs::create_dir(&group).unwrap();
        for (path, text) in [
            ("cpuset.cpus", "0-1\n"),
            ("cpuset.mems", "0\n"),
            ("godwit/cpuset.cpus", "\n"),
            ("godwit/cpuset.mems", "1\n"),
        ] {
            std::fs::write(dir.path().join(path), text).unwrap();
        }
        make(&group).unwrap();
        assert_eq!(std::fs::read_to_string(group.join("cpuset.cpus")).unwrap(), "0-1");
        assert_eq!(std::fs::read_to_string(group.join("cpuset.mems")).unwrap(), "1\n");
    }

    #[test]
    fn the_group_is_below_the_hosts_own_in_each_hierarchy() {
        let host = Host::own();
        let group = OwnGroup::new(&host, Parent::Host, "x").unwrap();
        assert_eq!(
            group.directories().len(),
            memberships(&host, host.pid).unwrap().len()
        );
        assert!(
            group
                .directories()
                .iter()
                .all(|one| one.ends_with("x") && one.starts_with(host.root()))
        );
    }
}
