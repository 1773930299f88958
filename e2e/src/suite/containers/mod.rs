//! Containers of a pod besides its main ones: sidecars, those that start anew, debugging ones; and their probes.

mod debugged;
mod probes;
mod refusals;
mod restarted;
mod service;
mod sidecars;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use serde_json::{Value, json};

use super::Behaviour;
use crate::images;

/// All of them.
pub const ALL: &[Behaviour] = &[
    sidecars::MOVES,
    sidecars::SEVERAL,
    restarted::SIDECAR,
    restarted::MAIN,
    debugged::MOVES,
    debugged::STAYS,
    probes::BEHAVIOUR,
    refusals::BEHAVIOUR,
    service::BEHAVIOUR,
];

/// A container with a Redis of its own that listens on `port`.
fn redis(name: &str, port: u16) -> Value {
    json!({
        "name": name, "image": images::redis::IMAGE, "imagePullPolicy": "Never",
        "args": ["--protected-mode", "no", "--save", "", "--dir", "/data", "--port", port.to_string()],
    })
}

/// The same as a native sidecar.
fn sidecar(name: &str, port: u16) -> Value {
    let mut container = redis(name, port);
    container["restartPolicy"] = json!("Always");
    container
}

/// What kubelet says of a container of any kind.
fn status_of<'a>(pod: &'a Pod, name: &str) -> Result<&'a ContainerStatus> {
    let status = pod.status.as_ref().context("a pod without a status")?;
    status
        .init_container_statuses
        .iter()
        .chain(&status.container_statuses)
        .chain(&status.ephemeral_container_statuses)
        .flatten()
        .find(|container| container.name == name)
        .with_context(|| format!("kubelet says nothing of container {name}"))
}
