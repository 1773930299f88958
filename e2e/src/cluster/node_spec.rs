//! What a node runs and what its root is.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::init::{InitSpec, NodeRoot, Service};
use crate::paths;

use super::node_files;
use super::pki::Authority;
use super::plan::{self, NodePlan};

/// Say what `node` is. `images` are imported before kubelet starts.
pub fn prepare(
    authority: &Authority,
    node: NodePlan,
    nodes: &[NodePlan],
    tree: &Path,
    kubernetes: &Path,
    images: Vec<PathBuf>,
) -> Result<InitSpec> {
    let name = node.name();
    let service = |name: &str, words: &[&str]| Service {
        name: name.to_owned(),
        command: words.iter().map(|&word| word.to_owned()).collect(),
    };
    let address = format!("--node-ip={}", node.address());
    let hostname = format!("--hostname-override={name}");
    Ok(InitSpec {
        name: name.clone(),
        log_dir: paths::log_dir(),
        root: Some(NodeRoot {
            tree: tree.to_path_buf(),
            kubernetes: kubernetes.join("hyperkube"),
            mount_at: paths::state_dir().join("nodes").join(&name),
            files: node_files::all(authority, node, nodes)?,
        }),
        services: vec![service("containerd", &["/usr/bin/containerd"])],
        images,
        gate: Some((plan::CONTROL_PLANE, plan::API_PORT).into()),
        after_gate: vec![
            service(
                "kubelet",
                &[
                    "/usr/local/bin/kubelet",
                    "--config=/etc/kubernetes/kubelet.yaml",
                    "--kubeconfig=/etc/kubernetes/kubelet.conf",
                    &hostname,
                    &address,
                ],
            ),
            service(
                "kube-proxy",
                &[
                    "/usr/local/bin/kube-proxy",
                    "--config=/etc/kubernetes/kube-proxy.yaml",
                ],
            ),
        ],
    })
}
