//! The configuration files of a node: what a cluster's installer would write on a stock machine.

use std::fmt::Write as _;

use anyhow::Result;

use crate::init::NodeFile;

use super::pki::Authority;
use super::plan::NodePlan;
use super::{kubeconfig, plan};

/// The image of every pod's sandbox.
pub const PAUSE_IMAGE: &str = "localhost/pause:1";

const CAP_SYS_RESOURCE: i32 = 24;

/// Whether this machine's root lacks `CAP_SYS_RESOURCE`: then nobody may lower an OOM score or read another user's
/// limits. Ordinary machines have it.
pub fn lacks_sys_resource() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .is_some_and(|set| set & (1 << CAP_SYS_RESOURCE) == 0)
}

/// All files of `node`. A fresh key pair for its kubelet is made.
pub fn all(authority: &Authority, node: NodePlan, nodes: &[NodePlan]) -> Result<Vec<NodeFile>> {
    let name = node.name();
    let ca = &authority.pair.certificate;
    let kubelet = authority.client(&format!("system:node:{name}"), Some("system:nodes"))?;
    let serving = authority.server(&format!("system:node:{name}"), &[&name], &[node.address()])?;
    let proxy = authority.client("system:kube-proxy", None)?;
    let public = |path: &str, content: String| NodeFile {
        path: path.to_owned(),
        content,
        mode: 0o644,
    };
    let secret = |path: &str, content: String| NodeFile {
        path: path.to_owned(),
        content,
        mode: 0o600,
    };
    let mut hosts = String::from("127.0.0.1 localhost\n::1 localhost\n");
    for other in nodes {
        writeln!(hosts, "{} {}", other.address(), other.name())?;
    }
    Ok(vec![
        public("/etc/hostname", format!("{name}\n")),
        public("/etc/hosts", hosts),
        public("/etc/resolv.conf", String::new()),
        public("/etc/containerd/config.toml", containerd(lacks_sys_resource())),
        public("/etc/cni/net.d/10-bridge.conflist", cni(node)),
        public("/etc/kubernetes/ca.crt", ca.clone()),
        secret(
            "/etc/kubernetes/kubelet.conf",
            kubeconfig::text("kubelet", &kubelet, ca),
        ),
        secret(
            "/etc/kubernetes/kube-proxy.conf",
            kubeconfig::text("kube-proxy", &proxy, ca),
        ),
        public("/etc/kubernetes/kubelet.crt", serving.certificate),
        secret("/etc/kubernetes/kubelet.key", serving.key),
        public("/etc/kubernetes/kubelet.yaml", KUBELET.to_owned()),
        public("/etc/kubernetes/kube-proxy.yaml", kube_proxy(&name)),
    ])
}

/// An ordinary configuration that imports further files, as distributions ship it.
fn containerd(lacks_sys_resource: bool) -> String {
    let restricted = if lacks_sys_resource {
        "  restrict_oom_score_adj = true\n"
    } else {
        ""
    };
    format!(
        "version = 3\n\
         imports = ['/etc/containerd/conf.d/*.toml']\n\n\
         [plugins.'io.containerd.cri.v1.images']\n\
         \x20 snapshotter = 'overlayfs'\n\
         \x20 [plugins.'io.containerd.cri.v1.images'.pinned_images]\n\
         \x20   sandbox = '{PAUSE_IMAGE}'\n\n\
         [plugins.'io.containerd.cri.v1.runtime']\n\
         \x20 enable_selinux = false\n\
         {restricted}\
         \x20 [plugins.'io.containerd.cri.v1.runtime'.cni]\n\
         \x20   bin_dirs = ['/usr/lib/cni']\n\
         \x20   conf_dir = '/etc/cni/net.d'\n\
         \x20 [plugins.'io.containerd.cri.v1.runtime'.containerd]\n\
         \x20   default_runtime_name = 'runc'\n\
         \x20   [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]\n\
         \x20     runtime_type = 'io.containerd.runc.v2'\n"
    )
}

fn cni(node: NodePlan) -> String {
    serde_json::json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": "cni0",
                "isGateway": true,
                "hairpinMode": true,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": node.pod_range()}]],
                    "routes": [{"dst": "0.0.0.0/0"}]
                }
            },
            {"type": "portmap", "capabilities": {"portMappings": true}}
        ]
    })
    .to_string()
}

const KUBELET: &str = "\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: /etc/kubernetes/ca.crt}
authorization: {mode: Webhook}
tlsCertFile: /etc/kubernetes/kubelet.crt
tlsPrivateKeyFile: /etc/kubernetes/kubelet.key
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
# Lowering one's own score takes a capability that a test machine may lack.
oomScoreAdj: 0
enforceNodeAllocatable: [pods]
# A node's disk is a tmpfs, which kubelet cannot measure per pod.
localStorageCapacityIsolation: false
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
makeIPTablesUtilChains: false
syncFrequency: 10s
";

fn kube_proxy(name: &str) -> String {
    format!(
        "apiVersion: kubeproxy.config.k8s.io/v1alpha1\n\
         kind: KubeProxyConfiguration\n\
         mode: nftables\n\
         clientConnection: {{kubeconfig: /etc/kubernetes/kube-proxy.conf}}\n\
         clusterCIDR: {}\n\
         hostnameOverride: {name}\n\
         # The size of the table is the host's business: a namespace cannot set it.\n\
         conntrack: {{maxPerCore: 0}}\n\
         oomScoreAdj: 0\n",
        plan::POD_RANGE
    )
}
