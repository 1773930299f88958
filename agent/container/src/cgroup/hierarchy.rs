//! Which groups a process is in, and where the host mounts them.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};

use godwit_proc::bounded;
use godwit_proc::mountinfo::{self, Mount};
use serde::{Deserialize, Serialize};

use super::CgroupError;
use crate::host::Host;

const TEXT_LIMIT: usize = 1 << 20;
/// cgroup.procs of a group with the kernel's greatest number of processes (4 Mi, seven digits each).
const PROCS_LIMIT: usize = 40 << 20;
/// Deeper nesting than systemd in a container in Kubernetes ever has.
const DEPTH_LIMIT: usize = 32;

/// One group of a process, in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The hierarchy's controllers (`cpu`, `cpuacct`, …; `name=systemd`); empty for version 2.
    pub controllers: Vec<String>,
    /// The group's directory, as a path of the host.
    pub directory: PathBuf,
}

impl Membership {
    /// Whether this is the group in the version 2 hierarchy.
    pub fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }

    /// Whether this hierarchy has a controller.
    pub fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|name| name == controller)
    }
}

/// A mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// As in [`Membership`].
    pub(super) controllers: Vec<String>,
    /// Where it is mounted, as a path of the host.
    pub(super) point: PathBuf,
    /// The group that is mounted there.
    root: PathBuf,
}

/// The groups of process `pid`, one for each hierarchy that the host mounts; those that are mounted nowhere are left out.
pub fn memberships(host: &Host, pid: i32) -> Result<Vec<Membership>, CgroupError> {
    let (hierarchies, groups) = read(host, pid)?;
    let found: Vec<_> = groups
        .into_iter()
        .filter_map(|(controllers, group)| {
            let mut of_group = hierarchies
                .iter()
                .filter(|hierarchy| hierarchy.controllers == controllers);
            let directory = of_group.find_map(|hierarchy| hierarchy.locate(&group))?;
            Some(Membership {
                controllers,
                directory,
            })
        })
        .collect();
    if found.is_empty() {
        Err(CgroupError::NotMounted { pid })
    } else {
        Ok(found)
    }
}

/// The hierarchies that the host mounts.
pub(super) fn mounted(host: &Host) -> Result<Vec<Hierarchy>, CgroupError> {
    read(host, host.pid).map(|(hierarchies, _)| hierarchies)
}

type Groups = Vec<(Vec<String>, PathBuf)>;

fn read(host: &Host, pid: i32) -> Result<(Vec<Hierarchy>, Groups), CgroupError> {
    let namespace = host.process(host.pid).join("ns/cgroup");
    host.in_cgroup_namespace(|| {
        let of_host = host.process(host.pid);
        let mounts = mountinfo::read(&of_host).map_err(|source| CgroupError::Process {
            path: of_host.join("mountinfo"),
            source,
        })?;
        let path = host.process(pid).join("cgroup");
        let text =
            bounded::read_text(&path, TEXT_LIMIT).map_err(|source| CgroupError::Process { path, source })?;
        Ok((hierarchies(&mounts), groups(&text)))
    })
    .map_err(|source| CgroupError::Process {
        path: namespace,
        source,
    })?
}

/// The cgroup mounts, each hierarchy once, version 1 first.
fn hierarchies(mounts: &[Mount]) -> Vec<Hierarchy> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for mount in mounts {
        let controllers = match mount.kind.as_str() {
            "cgroup" => v1_controllers(&mount.options),
            "cgroup2" => Vec::new(),
            _ => continue,
        };
        if seen.insert((controllers.clone(), mount.root.clone())) {
            found.push(Hierarchy {
                controllers,
                point: mount.point.clone(),
                root: mount.root.clone(),
            });
        }
    }
    found.sort_by_key(|hierarchy| hierarchy.controllers.is_empty());
    found
}

fn v1_controllers(options: &[u8]) -> Vec<String> {
    // Among the options there are only controllers, `name=`, and these (kernel/cgroup/cgroup-v1.c, cgroup1_show_options).
    const NOT_CONTROLLERS: [&str; 7] = [
        "rw",
        "ro",
        "noprefix",
        "xattr",
        "clone_children",
        "cpuset_v2_mode",
        "favordynmods",
    ];
    let options = String::from_utf8_lossy(options);
    let kept = options
        .split(',')
        .filter(|option| !NOT_CONTROLLERS.contains(option) && !option.starts_with("release_agent="));
    let mut controllers: Vec<_> = kept.map(str::to_owned).collect();
    controllers.sort();
    controllers
}

/// `/proc/PID/cgroup` (cgroups(7)): `id:controllers:path`.
fn groups(text: &str) -> Groups {
    let line = |line: &str| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let mut controllers: Vec<_> = controllers
            .split(',')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect();
        controllers.sort();
        Some((controllers, PathBuf::from(path)))
    };
    text.lines().filter_map(line).collect()
}

impl Hierarchy {
    fn locate(&self, group: &Path) -> Option<PathBuf> {
        let rest = group.strip_prefix(&self.root).ok()?;
        // `/..` means: outside the host's cgroup namespace, so not below the mount.
        rest.components()
            .all(|part| matches!(part, Component::Normal(_)))
            .then(|| self.point.join(rest))
    }
}

/// Every process of a group and of the groups below it, by PID; sorted. `directory` as this process can reach it.
pub fn processes(directory: &Path) -> Result<BTreeSet<i32>, CgroupError> {
    let mut found = BTreeSet::new();
    collect(directory, DEPTH_LIMIT, &mut found)?;
    Ok(found)
}

fn collect(directory: &Path, depth: usize, found: &mut BTreeSet<i32>) -> Result<(), CgroupError> {
    let path = directory.join("cgroup.procs");
    match bounded::read_text(&path, PROCS_LIMIT) {
        Ok(text) => found.extend(
            text.lines()
                .filter_map(|line| line.parse::<i32>().ok())
                .filter(|&pid| pid > 0),
        ),
        // A threaded group of version 2 has no list of its own; its processes are in the one above.
        Err(error) if error.raw_os_error() == Some(nix::libc::EOPNOTSUPP) => {}
        Err(source) => {
            return Err(CgroupError::File {
                action: "read",
                path,
                source,
            });
        }
    }
    if depth == 0 {
        return Ok(());
    }
    let entries = std::fs::read_dir(directory).map_err(CgroupError::file("read", directory))?;
    for entry in entries {
        let entry = entry.map_err(CgroupError::file("read", directory))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            match collect(&entry.path(), depth - 1, found) {
                // A group below may be removed at any time.
                Err(CgroupError::File { source, .. }) if gone(&source) => {}
                other => other?,
            }
        }
    }
    Ok(())
}

pub(super) fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(nix::libc::ENODEV)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &[u8] = b"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        37 31 0:34 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n\
        38 31 0:34 / /other/freezer rw - cgroup cgroup rw,freezer\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/usr/lib/x,name=systemd\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn controllers_are_told_from_other_options_and_each_hierarchy_comes_once() {
        let found = hierarchies(&mountinfo::parse(HYBRID));
        let controllers: Vec<_> = found.iter().map(|one| one.controllers.join(",")).collect();
        assert_eq!(controllers, ["cpu,cpuacct", "freezer", "name=systemd", ""]);
        assert_eq!(found[1].point, Path::new("/sys/fs/cgroup/freezer"));
    }

    #[test]
    fn groups_in_any_order_of_controllers() {
        let found = groups("4:cpuacct,cpu:/a/b:c\n0::/\nnonsense\n");
        assert_eq!(found[0], (vec!["cpu".into(), "cpuacct".into()], "/a/b:c".into()));
        assert_eq!(found[1], (vec![], "/".into()));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_group_is_located_below_the_mount_unless_it_is_outside() {
        let whole = Hierarchy {
            controllers: vec![],
            point: "/sys/fs/cgroup".into(),
            root: "/".into(),
        };
        assert_eq!(
            whole.locate(Path::new("/kubepods/c")),
            Some("/sys/fs/cgroup/kubepods/c".into())
        );
        assert_eq!(whole.locate(Path::new("/")), Some("/sys/fs/cgroup".into()));
        assert_eq!(whole.locate(Path::new("/../../elsewhere")), None);
        let part = Hierarchy {
            root: "/docker/x".into(),
            ..whole
        };
        assert_eq!(
            part.locate(Path::new("/docker/x/kubepods/c")),
            Some("/sys/fs/cgroup/kubepods/c".into())
        );
        assert_eq!(part.locate(Path::new("/docker/xy")), None);
    }

    #[test]
    fn this_process_is_in_a_group() {
        let host = Host::own();
        assert!(!memberships(&host, host.pid).unwrap().is_empty());
    }

    #[test]
    fn a_process_that_is_gone_is_named() {
        let error = memberships(&Host::own(), i32::MAX).unwrap_err();
        assert_eq!(error.reason(), "ProcessEnded");
    }

    #[test]
    fn processes_of_groups_below_are_found() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for (group, text) in [("", "3\n1\n"), ("a", "0\n"), ("a/b", "12\n")] {
            std::fs::write(dir.path().join(group).join("cgroup.procs"), text).unwrap();
        }
        assert_eq!(processes(dir.path()).unwrap(), BTreeSet::from([1, 3, 12]));
        std::fs::remove_file(dir.path().join("cgroup.procs")).unwrap();
        assert_eq!(processes(dir.path()).unwrap_err().reason(), "CgroupUnusable");
    }
}
