//! The labels by which the scheduler knows that a node has the runtime, and the operator that it can take part in migrations.

use std::time::Duration;

use godwit_crds::{AGENT_READY_LABEL, MEMORY_TRACKING_LABEL, RUNTIME_LABEL, TrackingMethod};
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

/// The labels of one node.
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

    /// Sets both to `true`, and says how this node tracks memory; tries until they are there, however long the API server is away.
    pub async fn set(&self, tracking: TrackingMethod) {
        self.insist(json!({
            AGENT_READY_LABEL: "true",
            RUNTIME_LABEL: "true",
            MEMORY_TRACKING_LABEL: tracking.as_str(),
        }))
        .await;
    }

    /// The agent goes away, the runtime stays; tries for as long as `limit`. True: done (or the node is gone).
    pub async fn not_ready(&self, limit: Duration) -> bool {
        tokio::time::timeout(
            limit,
            self.insist(json!({AGENT_READY_LABEL: null, MEMORY_TRACKING_LABEL: null})),
        )
        .await
        .is_ok()
    }

    /// The runtime goes away too; tries for as long as `limit`. True: done (or the node is gone).
    pub async fn remove(&self, limit: Duration) -> bool {
        let none = json!({AGENT_READY_LABEL: null, RUNTIME_LABEL: null, MEMORY_TRACKING_LABEL: null});
        tokio::time::timeout(limit, self.insist(none)).await.is_ok()
    }

    async fn insist(&self, labels: serde_json::Value) {
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
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
                    return info!(node = self.node, %labels, "labels of the node set or, by null, removed");
                }
                Ok(Err(kube::Error::Api(status))) if status.is_not_found() => {
                    return warn!(node = self.node, "there is no such node to label");
                }
                Ok(Err(error)) => warn!(%error, "cannot label the node yet"),
                Err(_) => warn!("the API server does not answer; the node's labels wait"),
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }
}
