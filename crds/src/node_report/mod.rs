//! A node's report: which of its pods could be moved, without anybody having asked to move one.

mod bounded;
mod scope;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::CheckResult;

pub use bounded::{MAX_ANSWER, MAX_POD_CHECKS, MAX_REPORT_PODS, answer_of, told};
pub use scope::{is_ignored, is_mirror};

/// Which pods of a node could be moved, and what stands in the way of the others.
///
/// There is one for each node with an agent, of the node's name; it goes with the Node object. There is nothing to specify: annotate
/// it with `godwit.dev/look` to have the agent look at once.
#[allow(clippy::duplicated_attributes, reason = "columns may be of one type")]
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "godwit.dev",
    version = "v1alpha1",
    kind = "NodeReport",
    plural = "nodereports",
    singular = "nodereport",
    shortname = "nrep",
    category = "godwit",
    status = "NodeReportStatus",
    derive = "PartialEq",
    doc = "Which pods of a node could be moved, and what stands in the way of the others. There is one for each node with an agent, of the node's name. Annotate it with godwit.dev/look to have the agent look at once.",
    printcolumn(name = "Pods", type_ = "integer", json_path = ".status.summary.pods"),
    printcolumn(name = "Movable", type_ = "integer", json_path = ".status.summary.movable"),
    printcolumn(
        name = "Not movable",
        type_ = "integer",
        json_path = ".status.summary.notMovable"
    ),
    printcolumn(
        name = "Ignored",
        type_ = "integer",
        json_path = ".status.summary.ignored",
        priority = 1
    ),
    printcolumn(name = "Looked", type_ = "date", json_path = ".status.observedAt")
)]
#[serde(rename_all = "camelCase")]
pub struct NodeReportSpec {}

/// What a node's report says. `agent` is what the node's agent has seen of the running processes; all the rest is the operator's
/// answer, made of that and of what the API server knows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeReportStatus {
    /// When the node's agent looked. Writer: operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_at: Option<Time>,
    /// The value of the annotation `godwit.dev/look` that this report answers. Writer: operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub answered: Option<String>,
    /// How many pods. Writer: operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<ReportSummary>,
    /// Every pod of the node that is not ignored, by namespace and name. Writer: operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    pub pods: Vec<PodVerdict>,
    /// What the agent has seen; `pods` has it too, beside what the operator knows. Writer: the node's agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentLook>,
}

/// How many pods a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReportSummary {
    /// Those that are reported on: `movable` and `notMovable`.
    #[schemars(schema_with = "number_schema")]
    pub pods: u32,
    /// Those in whose way nothing stands.
    #[schemars(schema_with = "number_schema")]
    pub movable: u32,
    /// Those that would be refused.
    #[schemars(schema_with = "number_schema")]
    pub not_movable: u32,
    /// Pods that nobody moves, and a drain does not wait for: of a DaemonSet, of files of the node (static pods), and those that have ended.
    #[schemars(schema_with = "number_schema")]
    pub ignored: u32,
    /// How many of `pods` are left out of the list, for its size.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(schema_with = "number_schema")]
    pub left_out: u32,
}

/// Whether a pod could be moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodVerdict {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// True if no check refuses.
    pub movable: bool,
    /// Checks that refuse or warn, those that refuse first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub checks: Vec<CheckResult>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(schema_with = "number_schema")]
    pub more: u32,
}

/// What the agent of a node has seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AgentLook {
    /// When it had looked at all of them.
    pub observed_at: Time,
    /// The value of the annotation `godwit.dev/look` for which it looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub answered: Option<String>,
    /// Every pod that it has looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512))]
    pub pods: Vec<PodLook>,
}

/// What the agent has seen of a pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodLook {
    /// UID of the pod.
    pub uid: String,
    /// Checks that refuse or warn, those that refuse first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub checks: Vec<CheckResult>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    #[schemars(schema_with = "number_schema")]
    pub more: u32,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde wants")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// A number of things; without a format, of which the API server would warn.
fn number_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "integer", "minimum": 0 })
}
