//! One hierarchy for all controllers. A group that hands controllers to its children may hold no processes of its
//! own, so the node's own processes live in a leaf, as systemd's live in `init.scope`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::mount::{MsFlags, mount as mount_it};

const LEAF: &str = "init.scope";

/// The folder of this process's own group.
pub(super) fn own_dir(membership: &str, mountinfo: &str) -> Option<PathBuf> {
    let path = membership.lines().find_map(|line| line.strip_prefix("0::"))?;
    mountinfo.lines().find_map(|line| {
        let (fields, rest) = line.split_once(" - ")?;
        if !rest.starts_with("cgroup2 ") {
            return None;
        }
        let mut fields = fields.split(' ').skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        Some(Path::new(at).join(Path::new(path).strip_prefix(root).ok()?))
    })
}

/// Where the processes of a node that are in no container are.
pub(super) fn leaf(group: &Path) -> PathBuf {
    group.join(LEAF)
}

pub(super) fn create(dirs: &[PathBuf]) -> Result<()> {
    for group in dirs {
        if let Some(parent) = group.parent() {
            hand_down(parent).with_context(|| {
                format!(
                    "{} holds processes of its own and can hand no controllers to nodes: start e2e from the root \
                     group, or by `systemd-run --scope --property=Delegate=yes` in a group of its own",
                    parent.display()
                )
            })?;
        }
        std::fs::create_dir_all(leaf(group)).with_context(|| format!("create cgroup {}", group.display()))?;
        hand_down(group)?;
    }
    Ok(())
}

/// Give every controller that the group has to its children. Only the root group may do so with processes in it.
fn hand_down(group: &Path) -> Result<()> {
    let controllers = std::fs::read_to_string(group.join("cgroup.controllers"))?;
    let request: Vec<String> = controllers
        .split_whitespace()
        .map(|one| format!("+{one}"))
        .collect();
    let control = group.join("cgroup.subtree_control");
    std::fs::write(&control, request.join(" ")).with_context(|| format!("write {}", control.display()))
}

pub(super) fn thaw(groups: &[PathBuf]) {
    for group in groups {
        // It may be removed meanwhile.
        let _ = std::fs::write(group.join("cgroup.freeze"), "0");
    }
}

pub(super) fn mount(at: &Path) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount_it(Some("cgroup2"), at, Some("cgroup2"), flags, Some("nsdelegate"))
        .with_context(|| format!("mount cgroup2 on {}", at.display()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    #[test]
    fn the_own_group_is_found() {
        let mounts = "34 30 0:30 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(
            super::own_dir("0::/a/b\n", mounts),
            Some(PathBuf::from("/sys/fs/cgroup/a/b"))
        );
        assert_eq!(super::own_dir("4:memory:/\n", mounts), None);
    }
}
