//! The node tree: a small Debian with containerd, runc, CRIU, the CNI plugins and etcd. Every node's root is an
//! overlay on it, and the images take their programs from it.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{cache, command};

use super::mirror;

/// Only the development suite has a recent CRIU and containerd.
pub(super) const SUITE: &str = "sid";
const PACKAGES: &[&str] = &[
    "busybox-static",
    "ca-certificates",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "criu",
    "crun",
    "etcd-client",
    "etcd-server",
    "iproute2",
    "iptables",
    "kmod",
    "nftables",
    "procps",
    "redis-server",
    "runc",
    "socat",
];

/// The root of the tree; it must not be written to. Takes a minute the first time.
pub fn ensure() -> Result<PathBuf> {
    tree("debian", PACKAGES)
}

/// The root of a tree called `name` with these packages.
pub(super) fn tree(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let packages = packages.join(",");
    let inputs = [
        SUITE.as_bytes(),
        packages.as_bytes(),
        std::env::consts::ARCH.as_bytes(),
        b"1",
    ];
    let entry = cache::ensure(name, &inputs, |dir| {
        bootstrap(&dir.join("root"), &packages, &dir.join("log"))
    })?;
    Ok(entry.join("root"))
}

/// Unpack and set up a Debian with these packages (separated by commas) and all they need in the folder `root`.
pub(super) fn bootstrap(root: &Path, packages: &str, log: &Path) -> Result<()> {
    command::logged(
        command::contained("debootstrap")
            .arg("--variant=minbase")
            .arg(format!("--include={packages}"))
            .arg(SUITE)
            .arg(root)
            .arg(mirror::address()?),
        log,
    )?;
    for archive in std::fs::read_dir(root.join("var/cache/apt/archives"))? {
        let path = archive?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}
