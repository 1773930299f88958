//! Which cgroups a process is in.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

use godwit_proc::mountinfo::{self, Mount};

use super::freezer::{Freezer, Version};
use super::{CgroupError, kill, pids_below, read, write};

/// One hierarchy and a process's place in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// As in `/proc/PID/cgroup`: "freezer", "cpu,cpuacct", "name=systemd", empty for v2.
    controllers: String,
    path: String,
    /// Where that is mounted, if it is.
    directory: Option<PathBuf>,
}

/// The cgroups of a process, one for each hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    places: Vec<Place>,
}

impl Membership {
    /// Where a process is now.
    pub fn of(pid: i32) -> Result<Self, CgroupError> {
        let of_this = Path::new("/proc/self");
        let mounts = mountinfo::read(of_this).map_err(|source| CgroupError::Io {
            action: "read",
            path: of_this.join("mountinfo"),
            source,
        })?;
        let cgroups = read(&PathBuf::from(format!("/proc/{pid}/cgroup")))?;
        Ok(Self::parse(&cgroups, &mounts))
    }

    /// From the text of `/proc/PID/cgroup`, and the mounts through which this process sees cgroups.
    fn parse(cgroups: &str, mounts: &[Mount]) -> Self {
        let places = cgroups
            .lines()
            .filter_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (controllers, path) = rest.split_once(':')?;
                let directory = mounts
                    .iter()
                    .find_map(|mount| directory(mount, controllers, path));
                Some(Place {
                    controllers: controllers.to_owned(),
                    path: path.to_owned(),
                    directory,
                })
            })
            .collect();
        Self { places }
    }

    /// `CONTROLLERS:PATH` for each hierarchy.
    pub fn lines(&self) -> Vec<String> {
        self.places
            .iter()
            .map(|place| format!("{}:{}", place.controllers, place.path))
            .collect()
    }

    /// Only the hierarchies in which `other` is neither at the same place nor below it.
    #[must_use]
    pub fn apart_from(&self, other: &Self) -> Self {
        let apart = |place: &&Place| {
            let there = other
                .places
                .iter()
                .find(|other| other.controllers == place.controllers);
            there.is_none_or(|there| !Path::new(&there.path).starts_with(&place.path))
        };
        Self {
            places: self.places.iter().filter(apart).cloned().collect(),
        }
    }

    /// Moves a process that is in `from` to here, in every mounted hierarchy where that makes a difference.
    pub fn take(&self, pid: i32, from: &Self) -> Result<(), CgroupError> {
        for place in &self.places {
            let there = from
                .places
                .iter()
                .find(|other| other.controllers == place.controllers);
            let Some(directory) = &place.directory else {
                continue;
            };
            if there.is_some_and(|there| there.path != place.path) {
                write(&directory.join("cgroup.procs"), &pid.to_string())?;
            }
        }
        Ok(())
    }

    /// Ends every process in one of these cgroups and removes them; within `limit`, whether all are gone.
    pub fn end_all(&self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        loop {
            let mut left = 0;
            for directory in self.places.iter().filter_map(|place| place.directory.as_deref()) {
                // What cannot be read is tried again.
                let pids = pids_below(directory).unwrap_or_default();
                kill(&pids);
                if !pids.is_empty() || (fs::remove_dir(directory).is_err() && directory.exists()) {
                    left += 1;
                }
            }
            if left == 0 || Instant::now() >= end {
                return left == 0;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Only the hierarchy that [`Self::freezer`] is in.
    #[must_use]
    pub fn freezing_only(&self) -> Self {
        let freezer = self.freezer();
        let is_freezer =
            |place: &&Place| freezer.as_ref().map(Freezer::directory) == place.directory.as_deref();
        Self {
            places: self.places.iter().filter(is_freezer).cloned().collect(),
        }
    }

    /// What freezes the cgroup of this process: v1's freezer hierarchy if it is mounted, else v2.
    pub fn freezer(&self) -> Option<Freezer> {
        let find = |wanted: &str| {
            let place = self
                .places
                .iter()
                .find(|place| place.controllers.split(',').any(|one| one == wanted))?;
            place.directory.clone()
        };
        if let Some(directory) = find("freezer") {
            return Some(Freezer {
                directory,
                version: Version::V1,
            });
        }
        let directory = find("")?;
        directory.join("cgroup.freeze").exists().then_some(Freezer {
            directory,
            version: Version::V2,
        })
    }
}

/// The directory of the cgroup `path` if this mount shows it.
fn directory(mount: &Mount, controllers: &str, path: &str) -> Option<PathBuf> {
    let is_of_hierarchy = match mount.kind.as_str() {
        "cgroup2" => controllers.is_empty(),
        "cgroup" if !controllers.is_empty() => controllers.split(',').all(|one| {
            let mut options = mount.options.split(|&byte| byte == b',');
            options.any(|option| option == one.as_bytes())
        }),
        _ => false,
    };
    let below = Path::new(path).strip_prefix(&mount.root);
    below
        .ok()
        .filter(|_| is_of_hierarchy)
        .map(|below| mount.point.join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &[u8] =
        b"30 20 0:26 / /sys/fs/cgroup/freezer rw,relatime shared:9 - cgroup cgroup rw,freezer\n\
        31 20 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        32 20 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
        33 20 0:29 /box /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
        34 20 0:30 / /proc rw - proc proc rw\n";

    #[test]
    fn hierarchies_are_found() {
        let cgroups =
            "9:name=systemd:/a\n6:freezer:/kube/pod\n2:cpu,cpuacct:/\n3:pids:/box/in\n4:memory:/m\n0::/\n";
        let membership = Membership::parse(cgroups, &mountinfo::parse(MOUNTS));
        let directories: Vec<_> = membership
            .places
            .iter()
            .map(|place| place.directory.clone())
            .collect();
        let some = |path: &str| Some(PathBuf::from(path));
        assert_eq!(
            directories,
            [
                some("/sys/fs/cgroup/systemd/a"),
                some("/sys/fs/cgroup/freezer/kube/pod"),
                some("/sys/fs/cgroup/cpu,cpuacct/"),
                some("/sys/fs/cgroup/pids/in"),
                None,
                None
            ]
        );
        let freezer = membership.freezer().unwrap();
        assert_eq!(freezer.directory(), Path::new("/sys/fs/cgroup/freezer/kube/pod"));
        assert_eq!(freezer.version, Version::V1);
        assert!(Freezer::at(Path::new("/sys/fs/cgroup/freezer")).contains(&freezer));
        assert!(!freezer.contains(&Freezer::at(Path::new("/sys/fs/cgroup/freezer/kube"))));
        assert!(!freezer.contains(&Freezer::at(Path::new("/sys/fs/cgroup/freezer/kube/pod2"))));
    }

    #[test]
    fn a_unified_hierarchy_is_found() {
        let mounts = b"30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let membership = Membership::parse("0::/kube.slice/x.scope\n", &mountinfo::parse(mounts));
        assert_eq!(membership.lines(), [":/kube.slice/x.scope"]);
        let directory = PathBuf::from("/sys/fs/cgroup/kube.slice/x.scope");
        assert_eq!(membership.places[0].directory, Some(directory));
    }
}
