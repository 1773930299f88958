//! A tree with Podman, for the benchmark alone: what a user would move a container with today.

use std::path::PathBuf;

use anyhow::Result;

use super::debian;

/// CRIU and runc are those of the nodes.
const PACKAGES: &[&str] = &[
    "busybox-static",
    "ca-certificates",
    "conmon",
    "criu",
    "iproute2",
    "iptables",
    "netavark",
    "nftables",
    "podman",
    "procps",
    "runc",
];

/// The root of the tree; it must not be written to. Takes a minute the first time.
pub fn ensure() -> Result<PathBuf> {
    debian::tree("podman", PACKAGES)
}
