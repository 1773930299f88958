//! The label by which the scheduler knows that a node can take part in migrations.

use std::time::Duration;

use godwit_crds::AGENT_READY_LABEL;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tracing::{info, warn};

use super::backoff::Backoff;

/// Field manager of the label.
const MANAGER: &str = "godwit-agent";
/// Longest wait for one answer.
const ATTEMPT: Duration = Duration::from_secs(10);

/// The label of one node.
#[derive(Debug, Clone)]
pub struct NodeLabel {
    api: Api<Node>,
    node: String,
}

impl NodeLabel {
    /// Of this node.
    pub fn new(client: &Client, node: &str) -> Self {
        Self {
            api: Api::all(client.clone()),
            node: node.to_owned(),
        }
    }

    /// Sets it to `true`; tries until it is there, however long the API server is away.
    pub async fn set(&self) {
        self.insist(json!("true")).await;
    }

    /// Takes it off; tries for as long as `limit`. True: it is off (or the node is gone).
    pub async fn remove(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.insist(serde_json::Value::Null))
            .await
            .is_ok()
    }

    async fn insist(&self, value: serde_json::Value) {
        let patch = Patch::Merge(json!({"metadata": {"labels": {AGENT_READY_LABEL: value}}}));
        let parameters = PatchParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let mut backoff = Backoff::default();
        loop {
            match tokio::time::timeout(ATTEMPT, self.api.patch_metadata(&self.node, &parameters, &patch))
                .await
            {
                Ok(Ok(_)) => {
                    return info!(node = self.node, label = AGENT_READY_LABEL, %value, "label of the node set or, by null, removed");
                }
                Ok(Err(kube::Error::Api(status))) if status.is_not_found() => {
                    return warn!(node = self.node, "there is no such node to label");
                }
                Ok(Err(error)) => warn!(%error, "cannot label the node yet"),
                Err(_) => warn!("the API server does not answer; the node's label waits"),
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }
}
