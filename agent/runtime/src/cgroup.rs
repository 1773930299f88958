//! Which cgroups a process is in, on cgroup v1 and v2, and how to move, freeze and end the processes of one.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

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
        let mounts = read(Path::new("/proc/self/mountinfo"))?;
        let cgroups = read(&PathBuf::from(format!("/proc/{pid}/cgroup")))?;
        Ok(Self::parse(&cgroups, &mounts))
    }

    /// From the texts of `/proc/PID/cgroup` and `/proc/self/mountinfo`.
    fn parse(cgroups: &str, mountinfo: &str) -> Self {
        let mounts: Vec<Mount> = mountinfo.lines().filter_map(Mount::parse).collect();
        let places = cgroups
            .lines()
            .filter_map(|line| {
                let (_, rest) = line.split_once(':')?;
                let (controllers, path) = rest.split_once(':')?;
                let directory = mounts.iter().find_map(|mount| mount.directory(controllers, path));
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

/// A mounted hierarchy.
struct Mount {
    root: String,
    point: PathBuf,
    /// Super options of v1; `None` for v2.
    options: Option<Vec<String>>,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let options = match right.next()? {
            "cgroup" => Some(right.nth(1)?.split(',').map(str::to_owned).collect()),
            "cgroup2" => None,
            _ => return None,
        };
        Some(Self {
            root: root.to_owned(),
            point: PathBuf::from(point),
            options,
        })
    }

    /// The directory of `path` if this mount shows it.
    fn directory(&self, controllers: &str, path: &str) -> Option<PathBuf> {
        match &self.options {
            None if controllers.is_empty() => {}
            Some(options) if !controllers.is_empty() => {
                if !controllers
                    .split(',')
                    .all(|one| options.iter().any(|option| option == one))
                {
                    return None;
                }
            }
            _ => return None,
        }
        let below = if self.root == "/" {
            path
        } else {
            path.strip_prefix(&self.root)?
        };
        Some(self.point.join(below.trim_start_matches('/')))
    }
}

/// The two ways of freezing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// A cgroup that can be frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freezer {
    directory: PathBuf,
    version: Version,
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

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "30 20 0:26 / /sys/fs/cgroup/freezer rw,relatime shared:9 - cgroup cgroup rw,freezer\n\
        31 20 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        32 20 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
        33 20 0:29 /box /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
        34 20 0:30 / /proc rw - proc proc rw\n";

    #[test]
    fn hierarchies_are_found() {
        let cgroups =
            "9:name=systemd:/a\n6:freezer:/kube/pod\n2:cpu,cpuacct:/\n3:pids:/box/in\n4:memory:/m\n0::/\n";
        let membership = Membership::parse(cgroups, MOUNTS);
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
        let mounts = "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        let membership = Membership::parse("0::/kube.slice/x.scope\n", mounts);
        assert_eq!(membership.lines(), [":/kube.slice/x.scope"]);
        let directory = PathBuf::from("/sys/fs/cgroup/kube.slice/x.scope");
        assert_eq!(membership.places[0].directory, Some(directory));
    }
}
