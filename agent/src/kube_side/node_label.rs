//! The labels by which the scheduler knows that a node has the runtime, and the operator that it can take part in migrations; and what the
//! operator compares between nodes.

use std::time::Duration;

use godwit_crds::cpu::Cpu;
use godwit_crds::{
    AGENT_READY_LABEL, CPU_CLASS_LABEL, MEMORY_TRACKING_LABEL, NODE_FACTS_ANNOTATION, NodeFacts,
    RUNTIME_LABEL, TrackingMethod,
};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::backoff::Backoff;
use crate::failure::chain;

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

    /// Sets both to `true`, and says how this node tracks memory and what it is like; tries until that is there, however long the API server
    /// is away.
    pub async fn set(&self, tracking: TrackingMethod, facts: &NodeFacts) {
        let (mut labels, annotations) = described(facts);
        labels[AGENT_READY_LABEL] = json!("true");
        labels[RUNTIME_LABEL] = json!("true");
        labels[MEMORY_TRACKING_LABEL] = json!(tracking.as_str());
        self.insist(labels, annotations).await;
    }

    /// Says anew what this node is like; tries until it is there.
    pub async fn describe(&self, facts: &NodeFacts) {
        let (labels, annotations) = described(facts);
        self.insist(labels, annotations).await;
    }

    /// The agent goes away, the runtime stays; tries for as long as `limit`. True: done (or the node is gone).
    pub async fn not_ready(&self, limit: Duration) -> bool {
        // What the node is like stays: the scheduler may choose it for a pod even now.
        let labels = json!({AGENT_READY_LABEL: null, MEMORY_TRACKING_LABEL: null});
        tokio::time::timeout(limit, self.insist(labels, json!({})))
            .await
            .is_ok()
    }

    /// The runtime goes away too; tries for as long as `limit`. True: done (or the node is gone).
    pub async fn remove(&self, limit: Duration) -> bool {
        let labels = json!({
            AGENT_READY_LABEL: null, RUNTIME_LABEL: null, MEMORY_TRACKING_LABEL: null, CPU_CLASS_LABEL: null,
        });
        let annotations = json!({NODE_FACTS_ANNOTATION: null});
        tokio::time::timeout(limit, self.insist(labels, annotations))
            .await
            .is_ok()
    }

    async fn insist(&self, labels: Value, annotations: Value) {
        let patch = Patch::Merge(json!({"metadata": {"labels": labels, "annotations": annotations}}));
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

/// The label and the annotation that say what a node is like; both are taken away where nothing can be said.
fn described(facts: &NodeFacts) -> (Value, Value) {
    let text = facts.to_annotation();
    if let Err(error) = &text {
        warn!(error = chain(error), "what this node is like cannot be written");
    }
    (
        json!({CPU_CLASS_LABEL: facts.cpu.as_ref().map(Cpu::class)}),
        json!({NODE_FACTS_ANNOTATION: text.ok()}),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_described_by_its_class_and_its_facts() {
        let facts = NodeFacts {
            cpu: "x86_64;sse2;".parse().ok(),
            page_size: Some(4096),
            ..NodeFacts::default()
        };
        let (labels, annotations) = described(&facts);
        let class = labels[CPU_CLASS_LABEL].as_str().unwrap();
        assert!(class.starts_with("x86-64-v1."), "{class}");
        let text = annotations[NODE_FACTS_ANNOTATION].as_str().unwrap();
        assert_eq!(NodeFacts::from_annotation(text).unwrap(), facts);
    }

    #[test]
    fn what_cannot_be_said_is_taken_away() {
        let facts = NodeFacts {
            huge_pages: Some("x".repeat(100_000)),
            ..NodeFacts::default()
        };
        let (labels, annotations) = described(&facts);
        assert_eq!(labels, json!({CPU_CLASS_LABEL: null}));
        assert_eq!(annotations, json!({NODE_FACTS_ANNOTATION: null}));
    }
}
