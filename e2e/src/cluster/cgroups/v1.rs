//! One hierarchy for each controller (or pair of them), and a named one that has none.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount as mount_it};

/// A line of `/proc/self/cgroup` of version 1: the controllers as the kernel writes them, and the group's path.
pub(super) fn hierarchies(membership: &str) -> Vec<(String, String)> {
    membership
        .lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_id, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            (!controllers.is_empty()).then(|| (controllers.to_owned(), path.to_owned()))
        })
        .collect()
}

/// The folder of this process's own group in every hierarchy that is mounted where this process sees it.
pub(super) fn own_dirs(membership: &str, mountinfo: &str) -> Vec<PathBuf> {
    hierarchies(membership)
        .into_iter()
        .filter_map(|(controllers, path)| {
            mountinfo.lines().find_map(|line| {
                let (fields, rest) = line.split_once(" - ")?;
                let mut rest = rest.split(' ');
                let (kind, _source, options) = (rest.next()?, rest.next()?, rest.next()?);
                let wanted = controllers
                    .split(',')
                    .all(|one| options.split(',').any(|option| option == one));
                if kind != "cgroup" || !wanted {
                    return None;
                }
                let mut fields = fields.split(' ').skip(3);
                let (root, at) = (fields.next()?, fields.next()?);
                // The mount may show only a part of the hierarchy.
                let inner = Path::new(&path).strip_prefix(root).ok()?;
                Some(Path::new(at).join(inner))
            })
        })
        .collect()
}

pub(super) fn create(dirs: &[PathBuf]) -> Result<()> {
    for dir in dirs {
        std::fs::create_dir_all(dir).with_context(|| format!("create cgroup {}", dir.display()))?;
        // A new cpuset group has no processors and no memory; nothing can join it before it has.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let (Some(parent), true) = (dir.parent(), dir.join(file).exists()) {
                let value = std::fs::read_to_string(parent.join(file))?;
                std::fs::write(dir.join(file), value.trim())
                    .with_context(|| format!("set {file} of {}", dir.display()))?;
            }
        }
    }
    Ok(())
}

/// Thaw each of these groups that is in the freezer hierarchy.
pub(super) fn thaw(groups: &[PathBuf]) {
    for group in groups {
        let state = group.join("freezer.state");
        if state.exists() {
            // It may be removed meanwhile.
            let _ = std::fs::write(state, "THAWED");
        }
    }
}

/// A tmpfs with one folder for each hierarchy, and a link for each controller that shares one, as systemd does.
pub(super) fn mount(at: &Path, membership: &str) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount_it(Some("tmpfs"), at, Some("tmpfs"), flags, Some("mode=755"))
        .with_context(|| format!("mount tmpfs on {}", at.display()))?;
    for (controllers, _) in hierarchies(membership) {
        let (folder, options) = match controllers.strip_prefix("name=") {
            Some(name) => (name.to_owned(), format!("none,name={name}")),
            None => (controllers.clone(), controllers.clone()),
        };
        let dir = at.join(&folder);
        std::fs::create_dir(&dir)?;
        mount_it(
            Some("cgroup"),
            &dir,
            Some("cgroup"),
            flags,
            Some(options.as_str()),
        )
        .with_context(|| format!("mount the cgroup hierarchy {controllers}"))?;
        if folder.contains(',') {
            for one in folder.split(',') {
                std::os::unix::fs::symlink(&folder, at.join(one))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    #[test]
    fn own_groups_are_found_where_they_are_mounted() {
        let membership = "12:cpu,cpuacct:/a\n5:name=systemd:/s\n4:memory:/m/x\n0::/u\n";
        let mounts = "\
30 1 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
32 30 0:28 /m /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n\
33 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
34 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(
            super::own_dirs(membership, mounts),
            [
                "/sys/fs/cgroup/cpu,cpuacct/a",
                "/sys/fs/cgroup/systemd/s",
                "/sys/fs/cgroup/memory/x"
            ]
            .map(PathBuf::from)
        );
    }
}
