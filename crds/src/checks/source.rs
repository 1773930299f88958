//! What the source's agent checks on the running pod, without touching it, before a target pod is made.

use super::{CheckInfo, RunsBy};

/// CRIU runs on the source's node.
pub const ENGINE: CheckInfo = CheckInfo {
    name: "Engine",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "a node on which the CRIU that the agent has brought along does not run, or lacks what a checkpoint needs",
    why: "without it no process can be checkpointed",
    cure: "what the message says of the node's kernel; `criu check` says more",
};
/// The container runtime knows every container of the pod.
pub const CONTAINERS_FOUND: CheckInfo = CheckInfo {
    name: "ContainersFound",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "a pod of which a container that is to be moved cannot be found on its node",
    why: "only what is found can be checkpointed",
    cure: "wait until all containers run; look at the node's container runtime",
};
/// The freeze fits into `spec.freezeBudget`.
pub const FREEZE_BUDGET_EXCEEDED: CheckInfo = CheckInfo {
    name: "FreezeBudgetExceeded",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "a `spec.freezeBudget` below the shortest freeze that a pod of this size can have on its node",
    why: "CRIU walks through all memory of the pod even if it has been copied ahead, and the rest is copied in the freeze",
    cure: "raise `spec.freezeBudget`",
};
/// The copy fits into `spec.timeout`.
pub const TIME_TOO_SHORT: CheckInfo = CheckInfo {
    name: "TimeTooShort",
    runs_by: RunsBy::Source,
    acceptable: true,
    refuses: "a `spec.bandwidth` (or `agent.bandwidth`) at which the pod's memory takes longer than what is left of `spec.timeout`; warns where the rate of the last migrations from this node would",
    why: "the migration would be rolled back half-way; memory of zeros, and what is alike, travels faster",
    cure: "raise `spec.timeout` or the bandwidth",
};

/// All of them, in the order of the documentation.
pub const ALL: &[CheckInfo] = &[ENGINE, CONTAINERS_FOUND, FREEZE_BUDGET_EXCEEDED, TIME_TOO_SHORT];
