//! Names and addresses of a cluster of n nodes: pure arithmetic, the same for every run.

use std::net::Ipv4Addr;

/// The most nodes one cluster may have; more than this machine would carry.
pub const MOST_NODES: u8 = 100;

/// The prefix of everything of ours that has a name machine-wide: network namespaces and cgroups.
pub const PREFIX: &str = "gw-";

/// The host's end of the link to the cluster.
pub const HOST_LINK: &str = "gwhost";

/// Where nodes, control plane and host meet.
pub const MACHINE_NETWORK_BITS: u8 = 24;
/// The address of the control plane.
pub const CONTROL_PLANE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The address of the host, which is outside the cluster: a client there is a client from outside.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);
/// The port of the API server.
pub const API_PORT: u16 = 6443;
/// All pods of all nodes.
pub const POD_RANGE: &str = "10.244.0.0/16";
/// All Services.
pub const SERVICE_RANGE: &str = "10.96.0.0/16";
/// The Service `kubernetes`, by which pods reach the API server.
pub const API_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);

/// The network namespace (and cgroup) of the control plane.
pub fn control_plane_namespace() -> String {
    format!("{PREFIX}cp")
}

/// The address by which everybody outside pods reaches the API server.
pub fn api_address() -> String {
    format!("https://{CONTROL_PLANE}:{API_PORT}")
}

/// One node, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodePlan {
    index: u8,
}

impl NodePlan {
    /// The nodes of a cluster of `count`.
    pub fn all(count: u8) -> Vec<Self> {
        (1..=count).map(|index| Self { index }).collect()
    }

    /// `n1`, `n2`, …: the node's name in Kubernetes, its host name, and its link's name at the bridge.
    pub fn name(self) -> String {
        format!("n{}", self.index)
    }

    /// Its network namespace, and its cgroup.
    pub fn namespace(self) -> String {
        format!("{PREFIX}{}", self.name())
    }

    /// Its `InternalIP`.
    pub fn address(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, 10 + self.index)
    }

    /// The addresses of its pods.
    pub fn pod_range(self) -> String {
        format!("10.244.{}.0/24", self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::{HOST, MOST_NODES, NodePlan};

    #[test]
    fn no_two_nodes_share_an_address_or_meet_the_host() {
        let nodes = NodePlan::all(MOST_NODES);
        let mut addresses: Vec<_> = nodes.iter().map(|node| node.address()).collect();
        addresses.push(HOST);
        addresses.sort_unstable();
        addresses.dedup();
        assert_eq!(addresses.len(), usize::from(MOST_NODES) + 1);
    }
}
