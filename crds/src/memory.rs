//! How memory travels: what a user asks for, and what the agents say of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many rounds a report lists at most; the oldest go first.
pub const MAX_ROUNDS: usize = 32;

/// How memory is to be moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MemoryMode {
    /// As `PreCopy` where the source's node can track writes, else as `StopAndCopy`; which one and why is in
    /// `status.source.memory`.
    #[default]
    Auto,
    /// All of it while the pod is frozen.
    StopAndCopy,
    /// Ahead of the freeze, in rounds, while the pod runs; refused with `PreCopyUnavailable` where the source's node
    /// cannot track writes.
    PreCopy,
}

/// By what a node's agent learns which memory has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum TrackingMethod {
    /// Write protection by userfaultfd (`WP_ASYNC`, `PAGEMAP_SCAN`; Linux 6.7).
    WriteProtect,
    /// The kernel's soft-dirty bits.
    SoftDirty,
    /// By nothing: memory can only be moved while the pod is frozen.
    None,
}

impl TrackingMethod {
    /// As it is written in status, and as value of the node label [`crate::MEMORY_TRACKING_LABEL`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::WriteProtect => "WriteProtect",
            Self::SoftDirty => "SoftDirty",
            Self::None => "None",
        }
    }

    /// The method of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::WriteProtect, Self::SoftDirty, Self::None]
            .into_iter()
            .find(|method| method.as_str() == name)
    }
}

/// How the memory of this pod is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum CopyMode {
    /// In rounds while it runs.
    PreCopy,
    /// All of it while it is frozen.
    StopAndCopy,
}

impl CopyMode {
    /// As it is written in status.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreCopy => "PreCopy",
            Self::StopAndCopy => "StopAndCopy",
        }
    }
}

/// One finished round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MemoryRound {
    /// Bytes of memory that the round had to copy.
    #[schemars(schema_with = "count_schema")]
    pub bytes: u64,
    /// Bytes of memory that were written while it went on: what the next one has to copy.
    #[schemars(schema_with = "count_schema")]
    pub dirty: u64,
    /// How long it took; a Kubernetes duration.
    pub duration: String,
}

/// What the source's agent says of the pod's memory, at most once a second.
///
/// All sizes are bytes of memory, summed over the pod's containers. What went over the wire, after compression and
/// without zero pages and repetitions, is `bytesSent` beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SourceMemory {
    /// By what writes are tracked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<TrackingMethod>,
    /// How the memory is moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<CopyMode>,
    /// Why it is `StopAndCopy` although `spec.memory` is `Auto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The round under way, from 1, or the last one once they are over; 0 before the first.
    #[serde(default)]
    #[schemars(schema_with = "count_schema")]
    pub round: u32,
    /// What this round has to copy.
    #[serde(default)]
    #[schemars(schema_with = "count_schema")]
    pub bytes_total: u64,
    /// How much of it has been copied.
    #[serde(default)]
    #[schemars(schema_with = "count_schema")]
    pub bytes_done: u64,
    /// How much of it has not.
    #[serde(default)]
    #[schemars(schema_with = "count_schema")]
    pub bytes_left: u64,
    /// Memory written per second, as measured in the last finished round.
    #[serde(default)]
    #[schemars(schema_with = "count_schema")]
    pub dirty_bytes_per_second: u64,
    /// Memory copied per second, as measured in the last finished round.
    #[serde(default)]
    #[schemars(schema_with = "count_schema")]
    pub bandwidth_bytes_per_second: u64,
    /// How long the freeze would be if it began now; a Kubernetes duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_freeze: Option<String>,
    /// By how many percent the containers' CPU time is cut down now (`spec.autoConverge`); left out where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "percent_schema")]
    pub throttle_percent: Option<u8>,
    /// The finished rounds, oldest first; of more than 32 the latest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = MAX_ROUNDS))]
    pub rounds: Vec<MemoryRound>,
}

impl SourceMemory {
    /// Adds a finished round; drops the oldest where there are more than [`MAX_ROUNDS`].
    pub fn push_round(&mut self, round: MemoryRound) {
        self.rounds.push(round);
        let surplus = self.rounds.len().saturating_sub(MAX_ROUNDS);
        self.rounds.drain(..surplus);
    }
}

/// What the target's agent says of the pod's memory, at most once a second. Everything is on the target's node by the
/// commit; afterwards it is filled in while the pod runs already.
///
/// An agent that fills in the background says so no later than it says `Running`: where this is missing, there is
/// nothing to wait for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetMemory {
    /// Pages of 4 KiB that the pod does not have yet.
    #[serde(default)]
    #[schemars(schema_with = "count_schema")]
    pub pages_left: u64,
    /// True once the pod has all of them, or what is left of it will never ask (its containers have ended).
    #[serde(default)]
    pub filled: bool,
}

/// Without the formats that schemars gives unsigned numbers, which the API server does not know and warns of.
fn count_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "integer", "format": "int64", "minimum": 0 })
}

fn percent_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "integer", "format": "int32", "minimum": 0, "maximum": 99 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_are_bounded_and_the_latest_stay() {
        let mut memory = SourceMemory::default();
        for bytes in 0..100 {
            memory.push_round(MemoryRound {
                bytes,
                ..MemoryRound::default()
            });
        }
        let kept: Vec<u64> = memory.rounds.iter().map(|round| round.bytes).collect();
        assert_eq!(kept, (68..100).collect::<Vec<_>>());
    }

    #[test]
    fn names_are_those_of_the_api() {
        for method in [
            TrackingMethod::WriteProtect,
            TrackingMethod::SoftDirty,
            TrackingMethod::None,
        ] {
            assert_eq!(serde_json::to_value(method).unwrap(), method.as_str());
            assert_eq!(TrackingMethod::from_name(method.as_str()), Some(method));
        }
        assert_eq!(TrackingMethod::from_name("Guess"), None);
        for mode in [CopyMode::PreCopy, CopyMode::StopAndCopy] {
            assert_eq!(serde_json::to_value(mode).unwrap(), mode.as_str());
        }
    }

    #[test]
    fn a_target_of_an_older_agent_is_read_as_it_always_was() {
        let report: crate::TargetReport = serde_json::from_str(r#"{"state": "Running"}"#).unwrap();
        assert_eq!(report.memory, None);
    }
}
