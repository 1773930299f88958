//! The cluster's network: one namespace for each node and one for the control plane, which holds the bridge that
//! they all, and the host, are plugged into. Nodes reach each other's pods by plain routes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::command;

use super::plan::{self, NodePlan};

/// The file by which a named network namespace is entered.
pub fn namespace_file(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// All named network namespaces of a cluster.
pub fn namespaces(nodes: &[NodePlan]) -> Vec<String> {
    let mut names = vec![plan::control_plane_namespace()];
    names.extend(nodes.iter().map(|node| node.namespace()));
    names
}

/// Whether `/run/netns` is a mount of its own.
pub fn netns_is_mounted() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts
        .lines()
        .any(|line| line.split(' ').nth(4) == Some("/run/netns"))
}

/// Create all of it. Nothing of it may exist.
pub fn create(nodes: &[NodePlan]) -> Result<()> {
    let mut host = String::new();
    for name in namespaces(nodes) {
        writeln!(host, "netns add {name}")?;
    }
    batch(None, &host)?;
    let center = plan::control_plane_namespace();
    batch(None, &host_links(nodes, &center)?)?;
    batch(Some(&center), &center_links(nodes)?)?;
    for &node in nodes {
        batch(Some(&node.namespace()), &node_links(node, nodes)?)?;
    }
    Ok(())
}

/// Remove links and namespaces; what is not there is fine.
pub fn remove(namespaces: &[String], links: &[String], netns_was_mounted: bool) -> Result<()> {
    for link in links {
        // Not by /sys: that may show another network namespace than this process is in.
        if nix::net::if_::if_nametoindex(link.as_str()).is_ok() {
            batch(None, &format!("link del {link}\n"))?;
        }
    }
    for name in namespaces {
        if namespace_file(name).exists() {
            batch(None, &format!("netns del {name}\n"))?;
        }
    }
    let empty = std::fs::read_dir("/run/netns").is_ok_and(|mut entries| entries.next().is_none());
    if !netns_was_mounted && empty && netns_is_mounted() {
        nix::mount::umount2("/run/netns", nix::mount::MntFlags::MNT_DETACH)?;
    }
    Ok(())
}

fn host_links(nodes: &[NodePlan], center: &str) -> Result<String> {
    let mut text = String::new();
    let (link, host, bits) = (plan::HOST_LINK, plan::HOST, plan::MACHINE_NETWORK_BITS);
    writeln!(text, "link add {link} type veth peer name host netns {center}")?;
    writeln!(text, "addr add {host}/{bits} dev {link}")?;
    writeln!(text, "link set {link} up")?;
    writeln!(text, "route add {} via {}", plan::POD_RANGE, plan::CONTROL_PLANE)?;
    for node in nodes {
        // Both ends are born in their namespaces: the host never sees a link named eth0.
        writeln!(
            text,
            "link add {} netns {center} type veth peer name eth0 netns {}",
            node.name(),
            node.namespace()
        )?;
    }
    Ok(text)
}

fn center_links(nodes: &[NodePlan]) -> Result<String> {
    let mut text = String::from("link set lo up\nlink add br0 type bridge\n");
    writeln!(
        text,
        "addr add {}/{} dev br0",
        plan::CONTROL_PLANE,
        plan::MACHINE_NETWORK_BITS
    )?;
    text.push_str("link set br0 up\nlink set host master br0 up\n");
    for node in nodes {
        writeln!(text, "link set {} master br0 up", node.name())?;
        writeln!(text, "route add {} via {}", node.pod_range(), node.address())?;
    }
    Ok(text)
}

fn node_links(node: NodePlan, nodes: &[NodePlan]) -> Result<String> {
    let mut text = String::from("link set lo up\n");
    writeln!(
        text,
        "addr add {}/{} dev eth0",
        node.address(),
        plan::MACHINE_NETWORK_BITS
    )?;
    text.push_str("link set eth0 up\n");
    writeln!(text, "route add default via {}", plan::CONTROL_PLANE)?;
    for other in nodes.iter().filter(|&&other| other != node) {
        writeln!(text, "route add {} via {}", other.pod_range(), other.address())?;
    }
    Ok(text)
}

fn batch(namespace: Option<&str>, lines: &str) -> Result<()> {
    let mut ip = command::bound("ip");
    if let Some(name) = namespace {
        ip.args(["-n", name]);
    }
    command::fed(ip.args(["-batch", "-"]), lines)
}
