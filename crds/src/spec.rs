//! What a user asks for.

use std::collections::BTreeMap;

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::bandwidth::bandwidth_schema;
use crate::{Bandwidth, FreezeBudget, MemoryMode, MigrationTimeout, PodMigrationStatus, checks};

/// Moves one running pod to another node, with its memory, files, address and open connections.
///
/// Immutable once created, but for `cancel`.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
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
    doc = "Moves one running pod to another node, with its memory, files, address and open connections.",
    validation = Rule::new("size(self.metadata.name) <= 63").message("the name must be at most 63 characters long: it becomes a label value on the target pod"),
    selectable = ".status.plan.sourceNode",
    selectable = ".status.plan.targetNode",
    selectable = ".spec.podName",
    printcolumn(name = "Pod", type_ = "string", json_path = ".spec.podName"),
    printcolumn(name = "From", type_ = "string", json_path = ".status.plan.sourceNode"),
    printcolumn(name = "To", type_ = "string", json_path = ".status.plan.targetNode"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Freeze", type_ = "string", json_path = ".status.timings.freeze.total"),
    printcolumn(name = "Bytes", type_ = "integer", json_path = ".status.source.bytesSent", priority = 1),
    printcolumn(name = "Rounds", type_ = "integer", json_path = ".status.source.memory.round", priority = 1),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.reason", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.podName == oldSelf.podName").message("podName is immutable: delete this migration and create another").field_path(".podName"),
    validation = Rule::new("has(self.target) == has(oldSelf.target) && (!has(self.target) || self.target == oldSelf.target)").message("target is immutable: delete this migration and create another"),
    validation = Rule::new("self.timeout == oldSelf.timeout").message("timeout is immutable: delete this migration and create another").field_path(".timeout"),
    validation = Rule::new("self.memory == oldSelf.memory").message("memory is immutable: delete this migration and create another").field_path(".memory"),
    validation = Rule::new("has(self.freezeBudget) == has(oldSelf.freezeBudget) && (!has(self.freezeBudget) || self.freezeBudget == oldSelf.freezeBudget)").message("freezeBudget is immutable: delete this migration and create another"),
    validation = Rule::new("has(self.bandwidth) == has(oldSelf.bandwidth) && (!has(self.bandwidth) || self.bandwidth == oldSelf.bandwidth)").message("bandwidth is immutable: delete this migration and create another"),
    validation = Rule::new("self.autoConverge == oldSelf.autoConverge").message("autoConverge is immutable: delete this migration and create another").field_path(".autoConverge"),
    validation = Rule::new("has(self.restartContainers) == has(oldSelf.restartContainers) && (!has(self.restartContainers) || self.restartContainers == oldSelf.restartContainers)").message("restartContainers is immutable: delete this migration and create another"),
    validation = Rule::new("self.dryRun == oldSelf.dryRun").message("dryRun is immutable: delete this migration and create another").field_path(".dryRun"),
    validation = Rule::new("has(self.accept) == has(oldSelf.accept) && (!has(self.accept) || self.accept == oldSelf.accept)").message("accept is immutable: delete this migration and create another"),
    validation = Rule::new("self.cancel || !oldSelf.cancel").message("cancel cannot be taken back: create another migration").field_path(".cancel"),
    validation = Rule::new("duration(self.timeout) > duration('0s')").message("timeout must be above zero").field_path(".timeout"),
    validation = Rule::new("!has(self.freezeBudget) || duration(self.freezeBudget) > duration('0s')").message("freezeBudget must be above zero"),
    validation = Rule::new("!has(self.bandwidth) || (isQuantity(string(self.bandwidth)) && !quantity(string(self.bandwidth)).isLessThan(quantity('1k')) && !quantity(string(self.bandwidth)).isGreaterThan(quantity('1P')))").message("bandwidth must be between 1k and 1P (bytes per second)"),
    validation = Rule::new("!self.autoConverge || self.memory != 'StopAndCopy'").message("autoConverge has nothing to do where memory is StopAndCopy").field_path(".autoConverge")
)]
pub struct PodMigrationSpec {
    /// Name of the pod to move, in the namespace of this object.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub pod_name: String,
    /// Where to; left out, the scheduler decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetSpec>,
    /// How memory is moved: ahead of the freeze while the pod runs (`PreCopy`), during the freeze (`StopAndCopy`), or
    /// the former where the source's node can track writes, else the latter (`Auto`).
    #[serde(default)]
    pub memory: MemoryMode,
    /// How long the freeze may be; a Kubernetes duration such as `500ms`. The pod is not frozen while the estimate is
    /// above it; if it stays above, the migration ends with `DirtyRateTooHigh` (memory changes too fast) or
    /// `FreezeBudgetExceeded` (with nothing left to copy it would still be above). A freeze that turns out longer is
    /// ended before the commit, with `FreezeBudgetExceeded` too, and the pod runs on where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze_budget: Option<FreezeBudget>,
    /// At most so many bytes per second are sent for this migration while the pod still runs; a quantity from `1k` to
    /// `1P`, such as `100M`. What is sent during the freeze is not slowed down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "bandwidth_schema")]
    pub bandwidth: Option<Bandwidth>,
    /// True: slow the pod's containers down step by step (their CPU time) if memory changes faster than it is copied;
    /// undone when the migration is over, however it ends.
    #[serde(default)]
    pub auto_converge: bool,
    /// Names of containers of the pod that are not moved: they start fresh on the destination, such as a mesh's proxy.
    /// Main containers and init containers with `restartPolicy: Always`; at least one main container has to move.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "restart_containers_schema")]
    pub restart_containers: Vec<String>,
    /// True: only check whether the pod could be moved. Nothing is made or changed; ends as `Succeeded` with reason
    /// `DryRun`, or as `Failed` with what stands in the way.
    #[serde(default)]
    pub dry_run: bool,
    /// Names of checks whose refusal is to be a warning. Only those that are of a risk or a known loss, not of an
    /// impossibility.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "accept_schema")]
    pub accept: Vec<String>,
    /// Limit for the whole migration up to the commit; a Kubernetes duration such as `10m`.
    #[serde(default)]
    pub timeout: MigrationTimeout,
    /// True: cancel the migration, if it has not been committed.
    #[serde(default)]
    pub cancel: bool,
}

/// Which node may be the destination: exactly one of the two fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.nodeName) != has(self.nodeSelector)").message("set exactly one of nodeName and nodeSelector, or leave target out to let the scheduler decide")
)]
pub struct TargetSpec {
    /// Just this node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub node_name: Option<String>,
    /// Any node with these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "node_selector_schema")]
    pub node_selector: Option<BTreeMap<String, String>>,
}

/// Bounded, because the immutability rule compares the whole map and the API server charges for the worst case.
fn node_selector_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "minProperties": 1,
        "maxProperties": 16,
        "additionalProperties": { "type": "string", "maxLength": 63 },
    })
}

/// Bounded for the same reason; names as those of containers (a DNS label).
fn restart_containers_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 32,
        "items": { "type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" },
        "x-kubernetes-list-type": "set",
    })
}

/// The names come from the list of checks.
fn accept_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 32,
        "items": { "type": "string", "maxLength": 63, "enum": checks::acceptable().collect::<Vec<_>>() },
        "x-kubernetes-list-type": "set",
    })
}
