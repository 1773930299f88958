//! Where a file of a container comes from, by the mount it lies on.

use std::path::{Path, PathBuf};

use godwit_proc::mountinfo::Mount;

/// Where from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Image or writable layer: equal by the image's id, or it travels.
    Root,
    /// Something that Kubernetes mounts.
    Known,
    /// A file system of the kernel, or one in memory that is the container's own.
    Kernel,
    /// The node.
    Host,
}

/// Types of file systems that have no files of anybody.
const KERNEL: [&str; 15] = [
    "proc",
    "sysfs",
    "cgroup",
    "cgroup2",
    "devpts",
    "mqueue",
    "devtmpfs",
    "debugfs",
    "tracefs",
    "securityfs",
    "bpf",
    "pstore",
    "hugetlbfs",
    "configfs",
    "efivarfs",
];

/// The mount on which `path` (in the process's view, without links) lies: the deepest one, of several at one place the last.
pub(super) fn mount_of<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Mount> {
    let under = mounts.iter().filter(|mount| path.starts_with(&mount.point));
    under.max_by_key(|mount| mount.point.components().count())
}

/// Of a file on this mount. `known`: where Kubernetes has mounted something.
pub(super) fn of(mount: &Mount, known: &[PathBuf]) -> Origin {
    if mount.point == Path::new("/") {
        Origin::Root
    } else if known.iter().any(|known| mount.point.starts_with(known)) {
        Origin::Known
    } else if KERNEL.contains(&mount.kind.as_str()) || (mount.kind == "tmpfs" && mount.root == Path::new("/"))
    {
        Origin::Kernel
    } else {
        Origin::Host
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(root: &str, point: &str, kind: &str) -> Mount {
        Mount {
            id: 0,
            device: (0, 1),
            root: root.into(),
            point: point.into(),
            kind: kind.into(),
            options: Vec::new(),
        }
    }

    #[test]
    fn the_deepest_mount_has_the_file() {
        let mounts = [
            mount("/", "/", "overlay"),
            mount("/", "/a", "tmpfs"),
            mount("/x", "/a/b", "ext4"),
            mount("/y", "/a/b", "ext4"),
        ];
        let root = |path: &str| mount_of(&mounts, Path::new(path)).unwrap().root.clone();
        assert_eq!(
            [root("/ab"), root("/a/c"), root("/a/b/c")].map(|it| it.display().to_string()),
            ["/", "/", "/y"]
        );
        assert_eq!(mount_of(&mounts[1..], Path::new("/etc")), None);
    }

    #[test]
    fn only_what_nobody_else_brings_is_the_nodes() {
        let known = [PathBuf::from("/data"), PathBuf::from("/etc/hosts")];
        for (mount, origin) in [
            (mount("/", "/", "overlay"), Origin::Root),
            (mount("/pods/1/data", "/data", "ext4"), Origin::Known),
            (mount("/", "/data/below", "ext4"), Origin::Known),
            (mount("/pods/1/etc-hosts", "/etc/hosts", "ext4"), Origin::Known),
            (mount("/", "/proc", "proc"), Origin::Kernel),
            (mount("/", "/dev", "tmpfs"), Origin::Kernel),
            (
                mount("/usr/lib/libcuda.so.1", "/usr/lib/libcuda.so.1", "ext4"),
                Origin::Host,
            ),
            (mount("/nvidia/socket", "/run/nvidia", "tmpfs"), Origin::Host),
            (mount("/x", "/database", "ext4"), Origin::Host),
        ] {
            assert_eq!(of(&mount, &known), origin, "{mount:?}");
        }
    }
}
