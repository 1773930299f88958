//! What Godwit says of a migration. Each field has one writer: the operator, the source's agent (`source`) or the
//! target's agent (`target`).

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{LegReport, SourceMemory, TargetMemory};

/// How far a migration is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MigrationPhase {
    /// Seen, not yet looked at.
    #[default]
    Pending,
    /// Checks run; nothing has been touched.
    Preflight,
    /// The target pod is being scheduled, its images pulled, its parking containers started.
    Preparing,
    /// The agents are connected; what can travel while the source runs is travelling.
    Copying,
    /// Parking has ended; the source is, or is about to be, frozen.
    Switching,
    /// Committed; the target runs; what is left of the source is being removed, and the target's memory filled in.
    Finishing,
    /// The target has taken the source's place.
    Succeeded,
    /// The source runs on where it was (or the pod was gone to begin with); nothing is left of the attempt.
    Failed,
}

impl MigrationPhase {
    /// True for the two phases that never change again.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

/// Status of a `PodMigration`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodMigrationStatus {
    /// How far the migration is. Writer: operator.
    #[serde(default)]
    pub phase: MigrationPhase,
    /// Machine-readable reason of the last transition, `PascalCase`. Writer: operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What happened and, after a failure, what to do about it. Writer: operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `Accepted`, `PreflightPassed`, `TargetPrepared`, `Committed`, `Succeeded`; of pods with an owner `Adopted`; `CalledOff` where
    /// the source is on its way out. Writer: operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions_schema")]
    pub conditions: Vec<Condition>,
    /// Results of the checks, the operator's first. Writer: operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 192))]
    pub preflight: Vec<CheckResult>,
    /// Who moves where. Writer: operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<Plan>,
    /// Writer: the agent of the plan's source node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceReport>,
    /// Writer: the agent of the plan's target node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetReport>,
    /// When each phase began, oldest first. Writer: operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub transitions: Vec<Transition>,
    /// How a migration whose source node is gone for good was settled; the target's agent obeys it as it would obey
    /// the source's own decision. Set at most once. Writer: operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settlement: Option<Settlement>,
    /// How long each part took. Writer: operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timings: Option<Timings>,
    /// The legs of a migration that takes two, in the order in which they were begun; a leg home that failed is followed by
    /// another. Writer: operator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub legs: Vec<LegReport>,
}

/// The beginning of a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// The phase that began.
    pub phase: MigrationPhase,
    /// When the operator saw that it had begun.
    pub at: MicroTime,
}

/// What the operator decided in the place of a source that cannot answer any more, because Kubernetes says that its
/// node runs nothing (the `Node` object is gone, or it is tainted `node.kubernetes.io/out-of-service`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Settlement {
    /// The target, which holds everything, becomes the workload.
    TargetRuns,
    /// The target does not hold everything, and has run nothing: it is deleted.
    TargetEnds,
}

/// Outcome of a preflight check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    /// Nothing stands in the way.
    Pass,
    /// The migration goes ahead; the message says what will be different.
    Warn,
    /// The migration must not start.
    Refuse,
}

/// One preflight check and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckResult {
    /// Stable name of the check, `PascalCase`.
    pub check: String,
    /// Outcome.
    pub verdict: Verdict,
    /// What was found and what would cure it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Who moves where. Agents act only on a plan whose `targetPodUid` is set, in phase `Copying` or later; in phase `Preflight` the source's
/// agent looks at the pod and touches nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// UID of the source pod when the migration was accepted; another pod of the same name is not the one meant.
    pub source_pod_uid: String,
    /// Node of the source pod.
    pub source_node: String,
    /// `InternalIP` of the source node, where its agent listens.
    pub source_address: String,
    /// Name of the target pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_pod_name: Option<String>,
    /// UID of the target pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_pod_uid: Option<String>,
    /// Node to which the scheduler bound the target pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_node: Option<String>,
    /// `InternalIP` of the target node, where its agent listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_address: Option<String>,
    /// When the migration is given up unless committed.
    pub deadline: Time,
}

/// A list that server-side apply merges by `type`, as for conditions everywhere in Kubernetes.
fn conditions_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut schema = <Vec<Condition> as JsonSchema>::json_schema(generator);
    schema.insert("maxItems".to_owned(), 16.into());
    schema.insert("x-kubernetes-list-type".to_owned(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".to_owned(), vec!["type"].into());
    schema
}

/// How far the source's agent is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SourceState {
    /// Has looked at the pod, in phase `Preflight`; nothing has been touched.
    Looked,
    /// Connecting to the target's agent, sending what can be sent while the source runs.
    #[default]
    Copying,
    /// Parking is being ended, or the source is frozen.
    Switching,
    /// The commit is in the journal: the source will never run again.
    Committed,
    /// Committed, and the target has said that it runs and that the address is carried: the source pod may be deleted.
    Released,
    /// The source runs on; nothing is left of the attempt on its node.
    RolledBack,
}

/// What the source's agent says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceReport {
    /// How far it is.
    pub state: SourceState,
    /// Step that was under way, by its stable name (for example `Dump`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// `PascalCase` reason of a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What went wrong, with CRIU's decisive line where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// True when the agent was restarted during the migration and took it up again from its journal.
    #[serde(default)]
    pub resumed: bool,
    /// What it has found when it looked at the pod, in phase `Preflight`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub preflight: Vec<CheckResult>,
    /// Bytes sent to the target's agent so far.
    #[serde(default)]
    pub bytes_sent: i64,
    /// The pod's memory on its way, at most once a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<SourceMemory>,
    /// Parts of the freeze, once over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<FreezeTimings>,
    /// What did not go as it should and is no reason to fail, for example a log that is not complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub warnings: Vec<String>,
}

/// How many checks an agent reports of one migration at most.
pub const MAX_AGENT_CHECKS: usize = 64;
/// How many checks the operator shows of one migration at most: its own and those of both agents.
pub const MAX_CHECKS: usize = 192;
/// How many warnings an agent says of one migration at most.
pub const MAX_WARNINGS: usize = 16;

/// How far the target's agent is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TargetState {
    /// Told of the migration; takes the stream of its source.
    #[default]
    Ready,
    /// Receiving.
    Receiving,
    /// Every container is restored and held; waiting for the source's decision.
    Holding,
    /// The target runs and the address is carried.
    Running,
    /// Given up; nothing is left of the attempt on this node but the target pod, which the operator deletes.
    Aborted,
}

/// What the target's agent says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetReport {
    /// How far it is.
    pub state: TargetState,
    /// `PascalCase` reason of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What went wrong, with CRIU's decisive line where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// True when the agent was restarted during the migration and took it up again from its journal.
    #[serde(default)]
    pub resumed: bool,
    /// Addresses of the source that this node carries for open connections.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carried: Vec<String>,
    /// The pod's memory after the commit; left out where nothing is filled in later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<TargetMemory>,
    /// What did not go as it should and is no reason to fail, for example a log that is not complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub warnings: Vec<String>,
}

/// Durations of the parts of a migration, as Kubernetes duration strings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timings {
    /// From acceptance to the end of the checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preflight: Option<String>,
    /// Until the target pod was parked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prepare: Option<String>,
    /// Until the switch began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<String>,
    /// The freeze, measured by the source's agent on one clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<FreezeTimings>,
    /// From the commit to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finish: Option<String>,
}

/// Parts of the freeze as duration strings, in the order in which they happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FreezeTimings {
    /// Freezing the containers and holding the network.
    pub pause: String,
    /// CRIU's dump of every container.
    pub dump: String,
    /// From the end of the dump until the target has every byte.
    pub send: String,
    /// From there until every container is restored and held.
    pub restore: String,
    /// The commit and the answer that the target runs.
    pub commit: String,
    /// From the first frozen instruction to the answer that the target runs.
    pub total: String,
}
