//! Nodes whose vendor gives containers a library: its files, the CDI specification that says how, and the plugin of the container runtime that asks for it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::ByteString;
use serde_json::json;

use super::build::{self, CALLER_NAME, IN_CONTAINER, OWN};
use crate::images;
use crate::suite::Lab;
use crate::suite::inside::exec;

/// What is made on a node takes this long at most.
const LIMIT: Duration = Duration::from_secs(20);
/// Until a plugin is registered.
const REGISTERED: Duration = Duration::from_secs(30);
/// The nodes.
const NODES: [&str; 2] = ["n1", "n2"];
/// Where the plugin says that it is registered.
const READY: &str = "/tmp/ready";

/// Sets both nodes up, with the source's build for each of these devices.
pub(super) async fn set_up(lab: &Lab, devices: &[&str]) -> Result<()> {
    let built = tokio::task::spawn_blocking(build::ensure).await??;
    for node in NODES {
        put(lab, node, &built.join(CALLER_NAME), CALLER_NAME).await?;
        for device in devices {
            put(lab, node, &built.join(OWN), &library(device)).await?;
        }
        let text = specification(lab, devices).to_string();
        write(lab, node, text.as_bytes(), &specification_file(lab)).await?;
    }
    let pods = NODES.map(|node| plugin(lab, node));
    futures::future::try_join_all(pods).await?;
    Ok(())
}

/// Leaves nothing of it; the plugins go with the namespace.
pub(super) async fn clean_up(lab: &Lab) -> Result<()> {
    for node in NODES {
        let gone = [&directory(lab), &specification_file(lab)];
        lab.on_node(node, &["rm", "-rf", gone[0], gone[1]], LIMIT).await?;
    }
    Ok(())
}

/// Puts a build of the library in a device's place.
pub(super) async fn replace(lab: &Lab, node: &str, device: &str, with: &str) -> Result<()> {
    let built = tokio::task::spawn_blocking(build::ensure).await??;
    put(lab, node, &built.join(with), &library(device)).await
}

/// What a pod asks for a device by, for its container `app`.
pub(super) fn annotation(lab: &Lab, device: &str) -> (String, String) {
    ("cdi.test/app".to_owned(), format!("{}={device}", kind(lab)))
}

fn kind(lab: &Lab) -> String {
    format!("vendor.test/{}", lab.namespace())
}

fn library(device: &str) -> String {
    format!("{device}-libfoo.so.2")
}

fn directory(lab: &Lab) -> String {
    format!("/opt/{}", lab.namespace())
}

fn specification_file(lab: &Lab) -> String {
    format!("/etc/cdi/{}.json", lab.namespace())
}

/// <https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md>
fn specification(lab: &Lab, devices: &[&str]) -> serde_json::Value {
    let directory = directory(lab);
    let mount = |name: &str, there: &str| json!({"hostPath": format!("{directory}/{name}"), "containerPath": format!("{IN_CONTAINER}/{there}"), "options": ["ro", "nosuid", "nodev", "bind"]});
    let device = |device: &&str| json!({"name": device, "containerEdits": {"mounts": [mount(&library(device), "libfoo.so.2")]}});
    json!({
        "cdiVersion": "0.6.0",
        "kind": kind(lab),
        "containerEdits": {"mounts": [mount(CALLER_NAME, CALLER_NAME)]},
        "devices": devices.iter().map(device).collect::<Vec<_>>(),
    })
}

async fn put(lab: &Lab, node: &str, file: &Path, name: &str) -> Result<()> {
    let content = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    write(lab, node, &content, &format!("{}/{name}", directory(lab))).await
}

/// Another file of the name, as package managers do it: what is mapped of the old one stays.
async fn write(lab: &Lab, node: &str, content: &[u8], path: &str) -> Result<()> {
    // As Kubernetes writes bytes: in base64.
    let text = serde_json::to_value(ByteString(content.to_vec()))?;
    let text = text.as_str().unwrap_or_default();
    let script = format!(
        "mkdir -p $(dirname {path}) && echo {text} | base64 -d > {path}.new && chmod 755 {path}.new && mv {path}.new {path}"
    );
    lab.on_node(node, &["sh", "-c", &script], LIMIT).await.map(drop)
}

async fn plugin(lab: &Lab, node: &str) -> Result<()> {
    let name = format!("plugin-{node}");
    let spec = json!({
        "containers": [{
            "name": "plugin", "image": images::workload::IMAGE, "imagePullPolicy": "Never",
            "command": ["/usr/bin/cdi-plugin", READY],
            "volumeMounts": [{"name": "nri", "mountPath": "/var/run/nri"}],
        }],
        "volumes": [{"name": "nri", "hostPath": {"path": "/var/run/nri", "type": "Directory"}}],
    });
    lab.pod(&name, Some(node), spec).await?;
    lab.until("the plugin to be registered", REGISTERED, async || {
        Ok(exec(lab, &name, &["test", "-e", READY]).await.ok().map(drop))
    })
    .await
}
