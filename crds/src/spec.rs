//! What a user asks for.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{MigrationTimeout, PodMigrationStatus};

/// Moves one running pod to another node, with its memory, files, address and open connections.
///
/// Immutable once created, but for `cancel`.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "godwit.dev",
    version = "v1alpha1",
    kind = "PodMigration",
    plural = "podmigrations",
    singular = "podmigration",
    category = "godwit",
    namespaced,
    status = "PodMigrationStatus",
    derive = "PartialEq",
    selectable = ".status.plan.sourceNode",
    selectable = ".status.plan.targetNode",
    selectable = ".spec.podName",
    printcolumn(name = "Pod", type_ = "string", json_path = ".spec.podName"),
    printcolumn(name = "From", type_ = "string", json_path = ".status.plan.sourceNode"),
    printcolumn(name = "To", type_ = "string", json_path = ".status.plan.targetNode"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Freeze", type_ = "string", json_path = ".status.timings.freeze.total"),
    printcolumn(name = "Bytes", type_ = "integer", json_path = ".status.source.bytesSent", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PodMigrationSpec {
    /// Name of the pod to move, in the namespace of this object.
    pub pod_name: String,
    /// Where to; left out, the scheduler decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetSpec>,
    /// Limit for the whole migration up to the commit; a Kubernetes duration such as `10m`.
    #[serde(default)]
    pub timeout: MigrationTimeout,
    /// True: cancel the migration, if it has not been committed.
    #[serde(default)]
    pub cancel: bool,
}

/// Which node may be the destination: at most one of the two fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetSpec {
    /// Just this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// Any node with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<BTreeMap<String, String>>,
}
