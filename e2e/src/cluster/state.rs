//! What is known about the running cluster, in files under the state folder.
//!
//! Two records: the *ledger* says, before anything is created, what a run may have created, so that `down` can take
//! it away after any crash. The *state* says what runs, once it runs.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::paths;

use super::cgroups::Groups;
use super::process::ProcessId;

/// Everything of a run that outlives its processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// cgroups, with all that is in them.
    pub groups: Vec<Groups>,
    /// Named network namespaces.
    pub namespaces: Vec<String>,
    /// Links in the host's own network namespace.
    pub links: Vec<String>,
    /// Whether `/run/netns` was a mount before (`ip netns add` makes it one).
    pub netns_was_mounted: bool,
}

/// A running node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Its name in Kubernetes.
    pub name: String,
    /// Its `InternalIP`.
    pub address: Ipv4Addr,
    /// The first process of its PID namespace.
    pub init: ProcessId,
    /// Its root group.
    pub groups: Groups,
}

/// A running cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The first process of the control plane.
    pub control_plane: ProcessId,
    /// The nodes, in order.
    pub nodes: Vec<NodeState>,
}

impl Ledger {
    /// Keep it.
    pub fn write(&self) -> Result<()> {
        write("ledger.json", self)
    }

    /// The ledger of the last run; `None` if it was taken down (or there never was one).
    pub fn read() -> Result<Option<Self>> {
        read("ledger.json")
    }
}

impl State {
    /// Keep it. It is written only when the cluster is complete.
    pub fn write(&self) -> Result<()> {
        write("state.json", self)
    }

    /// The state of the cluster that was last complete; `None` if there is none.
    pub fn read() -> Result<Option<Self>> {
        read("state.json")
    }

    /// Whether the first processes of all parts are still there.
    pub fn alive(&self) -> bool {
        self.control_plane.alive() && self.nodes.iter().all(|node| node.init.alive())
    }
}

fn path(name: &str) -> PathBuf {
    paths::state_dir().join(name)
}

fn write<T: Serialize>(name: &str, value: &T) -> Result<()> {
    let (path, fresh) = (path(name), path(&format!("{name}.new")));
    std::fs::write(&fresh, serde_json::to_vec_pretty(value)?)
        .with_context(|| format!("write {}", fresh.display()))?;
    std::fs::rename(&fresh, &path).with_context(|| format!("write {}", path.display()))
}

fn read<T: DeserializeOwned>(name: &str) -> Result<Option<T>> {
    let path = path(name);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(
            serde_json::from_slice(&bytes).with_context(|| format!("read {}", path.display()))?,
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
    }
}
