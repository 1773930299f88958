//! Whether the destination, if it is named, has the files of this node that the pod uses.

use std::net::IpAddr;
use std::time::Duration;

use godwit_crds::checks::files::HOST_FILE_DIFFERS;
use godwit_preflight::{Container, Finding};
use k8s_openapi::api::core::v1;
use kube::Api;
use tokio::time::timeout;

use super::finding::of_node;
use crate::failure::chain;
use crate::host_files::{Destination, compared, used};
use crate::node::Node;

/// For each of the two nodes.
const LIMIT: Duration = Duration::from_secs(3);
/// For all of it: less than a look has.
const WHOLE: Duration = Duration::from_secs(6);

/// The checks. What could not be compared in time is warned of: it is compared before the manifest in any case.
pub(super) async fn check(
    node: &Node,
    migration: &str,
    destination: &str,
    containers: Vec<Container>,
) -> Vec<Finding> {
    let late = || Err(format!("it takes more than {} s", WHOLE.as_secs()));
    let found = timeout(WHOLE, findings(node, migration, destination, containers)).await;
    match found.unwrap_or_else(|_| late()) {
        Ok(findings) => findings,
        Err(why) => vec![Finding {
            refuse: false,
            ..of_node(
                &HOST_FILE_DIFFERS,
                format!("not compared yet, which is done again before the pod is frozen: {why}"),
            )
        }],
    }
}

async fn findings(
    node: &Node,
    migration: &str,
    destination: &str,
    containers: Vec<Container>,
) -> Result<Vec<Finding>, String> {
    let files = used(node, containers, LIMIT)
        .await
        .map_err(|error| chain(&error))?;
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let destination = Destination {
        name: destination.to_owned(),
        address: address(node, destination).await?,
    };
    let findings = compared(node, migration, &destination, &files, LIMIT)
        .await
        .map_err(|error| chain(&error))?;
    Ok(findings.into_iter().map(|(_, finding)| finding).collect())
}

/// Where that node's agent listens.
async fn address(node: &Node, name: &str) -> Result<IpAddr, String> {
    let nodes: Api<v1::Node> = Api::all(node.client.clone());
    let found = nodes.get(name).await.map_err(|error| chain(&error))?;
    internal_ip(&found).ok_or_else(|| format!("node {name} has no InternalIP"))
}

fn internal_ip(node: &v1::Node) -> Option<IpAddr> {
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    let internal = addresses.iter().find(|it| it.type_ == "InternalIP")?;
    internal.address.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_agent_listens_at_its_nodes_internal_address() {
        let node = |kind: &str| {
            let status = json!({"addresses": [{"type": "Hostname", "address": "n2"}, {"type": kind, "address": "192.0.2.2"}]});
            serde_json::from_value(json!({ "status": status })).unwrap()
        };
        assert_eq!(internal_ip(&node("InternalIP")), Some([192, 0, 2, 2].into()));
        assert_eq!(internal_ip(&node("ExternalIP")), None);
        assert_eq!(internal_ip(&v1::Node::default()), None);
    }
}
