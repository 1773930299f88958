//! A root of the node's own: an overlay on the node tree, kept in memory, with everything mounted that a machine has.
//! All mounts are made in the node's mount namespace and vanish with it.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use anyhow::{Context, Result};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::NodeRoot;
use crate::cluster::cgroups;
use crate::recipes::hyperkube;

/// How much one node may hold: images, pods' files and what `/run` holds, each.
const SIZE: &str = "size=12g,mode=755";

/// Devices that are there on any machine, if this one has them.
const DEVICES: &[&str] = &[
    "null",
    "zero",
    "full",
    "random",
    "urandom",
    "tty",
    "kmsg",
    "fuse",
    "net/tun",
    "userfaultfd",
    "loop-control",
];

/// Tools that no stock node has: the product brings its own CRIU.
const NOT_STOCK: &[&str] = &["usr/sbin/criu"];

/// Without a root of its own: still a `/proc` that shows this PID namespace.
pub(super) fn keep_host() -> Result<()> {
    private("/")?;
    plain("proc", Path::new("/proc"), "")
}

/// Make the root and move into it.
pub(super) fn enter(spec: &NodeRoot) -> Result<()> {
    private("/")?;
    let store = &spec.mount_at;
    std::fs::create_dir_all(store)?;
    plain("tmpfs", store, SIZE)?;
    let root = store.join("root");
    for dir in ["root", "changes", "work", "containerd", "kubelet"] {
        std::fs::create_dir(store.join(dir))?;
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        spec.tree.display(),
        store.join("changes").display(),
        store.join("work").display()
    );
    plain("overlay", &root, &options)?;
    for path in NOT_STOCK {
        let _ = std::fs::remove_file(root.join(path));
    }
    // Each is on a file system of its own, not on the overlay: containerd's snapshots are overlays themselves.
    for (inner, dir) in [
        ("containerd", "var/lib/containerd"),
        ("kubelet", "var/lib/kubelet"),
    ] {
        std::fs::create_dir_all(root.join(dir))?;
        bind(&store.join(inner), &root.join(dir))?;
    }
    plain("proc", &root.join("proc"), "")?;
    plain("sysfs", &root.join("sys"), "")?;
    plain("tmpfs", &root.join("run"), SIZE)?;
    plain("tmpfs", &root.join("tmp"), "size=4g,mode=1777")?;
    devices(&root.join("dev"))?;
    cgroups::mount_in_node(&root)?;
    kubernetes(&spec.kubernetes, &root)?;
    for file in &spec.files {
        let path = root.join(file.path.trim_start_matches('/'));
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&path, &file.content).with_context(|| format!("write {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(file.mode))?;
    }
    std::fs::create_dir_all(root.join("etc/containerd/conf.d"))?;
    pivot(&root)?;
    // As systemd leaves it: a mount that an agent makes for the host is seen by the host, and the other way round.
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_SHARED | MsFlags::MS_REC,
        None::<&str>,
    )
    .context("share the mounts")
}

fn pivot(root: &Path) -> Result<()> {
    let old = root.join("mnt");
    nix::unistd::pivot_root(root, &old).context("pivot_root")?;
    std::env::set_current_dir("/")?;
    umount2("/mnt", MntFlags::MNT_DETACH).context("leave the old root")
}

fn devices(dev: &Path) -> Result<()> {
    plain("tmpfs", dev, "size=64k,mode=755")?;
    for device in DEVICES {
        let host = Path::new("/dev").join(device);
        if !host.exists() {
            continue;
        }
        let here = dev.join(device);
        if let Some(parent) = here.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(&here, "")?;
        bind(&host, &here)?;
    }
    for dir in ["pts", "shm", "mqueue"] {
        std::fs::create_dir_all(dev.join(dir))?;
    }
    plain(
        "devpts",
        &dev.join("pts"),
        "newinstance,ptmxmode=0666,mode=620,gid=5",
    )?;
    plain("tmpfs", &dev.join("shm"), "size=1g,mode=1777")?;
    plain("mqueue", &dev.join("mqueue"), "")?;
    for (link, target) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, dev.join(link))?;
    }
    Ok(())
}

/// The one binary, under all its names.
fn kubernetes(binary: &Path, root: &Path) -> Result<()> {
    let dir = root.join("usr/local/bin");
    std::fs::create_dir_all(&dir)?;
    let here = dir.join("hyperkube");
    std::fs::write(&here, "")?;
    bind(binary, &here)?;
    for component in hyperkube::COMPONENTS {
        symlink("hyperkube", dir.join(component))?;
    }
    Ok(())
}

fn private(path: &str) -> Result<()> {
    mount(
        None::<&str>,
        path,
        None::<&str>,
        MsFlags::MS_PRIVATE | MsFlags::MS_REC,
        None::<&str>,
    )
    .context("leave the host's mount propagation")
}

fn bind(from: &Path, to: &Path) -> Result<()> {
    mount(Some(from), to, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .with_context(|| format!("bind {} to {}", from.display(), to.display()))
}

fn plain(kind: &str, at: &Path, options: &str) -> Result<()> {
    mount(Some(kind), at, Some(kind), MsFlags::empty(), Some(options))
        .with_context(|| format!("mount {kind} on {}", at.display()))
}
