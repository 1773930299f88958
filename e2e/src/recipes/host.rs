//! Packages that the machine itself needs. Most tools run from the node tree instead.

use std::process::Command;

use anyhow::{Result, bail};

use crate::command;

/// A program the tests call, and the Debian package that brings it.
const NEEDED: &[(&str, &str)] = &[
    ("debootstrap", "debootstrap"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("cc", "gcc"),
];

/// Install what is missing, with the machine's own package manager. Fails on a machine without apt.
pub fn ensure() -> Result<()> {
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(program, _)| !present(program))
        .map(|(_, package)| *package)
        .collect();
    install(&missing)
}

/// Install Debian packages; an empty list is nothing to do.
pub fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    if !present("apt-get") {
        bail!(
            "these Debian packages (or what your system calls them) are missing: {}",
            packages.join(" ")
        );
    }
    eprintln!("installing {}", packages.join(" "));
    // A mirror's frozen index may be older than its own Valid-Until.
    command::output(apt().arg("update"))?;
    command::output(
        apt()
            .args(["install", "--yes", "--no-install-recommends"])
            .args(packages),
    )?;
    Ok(())
}

fn apt() -> Command {
    let mut apt = command::bound("apt-get");
    apt.args(["-qq", "-o", "Acquire::Check-Valid-Until=false"])
        .env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

fn present(program: &str) -> bool {
    command::exists(program)
        || ["/usr/sbin", "/sbin"]
            .iter()
            .any(|dir| std::path::Path::new(dir).join(program).exists())
}
