//! Stable reasons: what `status.reason`, conditions, events and metric labels say. Agents add their own for what
//! goes wrong on a node.

/// The migration was cancelled by `spec.cancel` or by deleting it.
pub const CANCELLED: &str = "Cancelled";
/// The deadline passed before the commit.
pub const TIMED_OUT: &str = "TimedOut";
/// The source pod ended or was replaced before the commit.
pub const SOURCE_GONE: &str = "SourceGone";
/// The source's node is gone for good, and the target did not hold everything.
pub const SOURCE_NODE_LOST: &str = "SourceNodeLost";
/// The API server refused the target pod: admission, quota, or a name that is taken.
pub const TARGET_REFUSED: &str = "TargetRefused";
/// The target pod was deleted by somebody else before the commit.
pub const TARGET_DELETED: &str = "TargetDeleted";
/// The target pod ended before the commit.
pub const TARGET_FAILED: &str = "TargetFailed";
/// The scheduler finds no node for the target pod.
pub const UNSCHEDULABLE: &str = "Unschedulable";
/// An image cannot be had on the target node.
pub const IMAGE_UNAVAILABLE: &str = "ImageUnavailable";
/// A parking container does not start.
pub const PARKING_FAILED: &str = "ParkingFailed";
/// The source's agent never answered and the deadline is long past.
pub const AGENT_AWAY: &str = "AgentAway";
/// The source's agent rolled back and gave no reason of its own.
pub const ROLLED_BACK: &str = "RolledBack";
/// The operator took the migration on.
pub const ACCEPTED: &str = "Accepted";
/// No check refused.
pub const CHECKS_PASSED: &str = "ChecksPassed";
/// The operator's checks have passed, and the source's agent is asked to look at the pod.
pub const AGENT_ASKED: &str = "AgentAsked";
/// The migration was a dry run: the pod could be moved, and nothing was.
pub const DRY_RUN: &str = "DryRun";
/// A refusal was turned into a warning by `spec.accept`.
pub const RISK_ACCEPTED: &str = "RiskAccepted";
/// The target pod is parked on its node.
pub const TARGET_PARKED: &str = "TargetParked";
/// The source's agent has ended parking or frozen the source.
pub const SWITCHING: &str = "Switching";
/// The source has decided: the target is the workload.
pub const COMMITTED: &str = "Committed";
/// The operator has decided in the place of a source whose node is gone.
pub const SETTLED: &str = "Settled";
/// The target has taken the source's place.
pub const SUCCEEDED: &str = "Migrated";
/// The pod has moved, and an agent says what did not go as it should.
pub const MOVED_WITH_WARNING: &str = "MovedWithWarning";
/// The target took the source's place and was then deleted, or lost its node, before the migration was over.
pub const TARGET_GONE_AFTER_COMMIT: &str = "TargetGoneAfterCommit";
/// The target runs, and its memory is still being filled in on its node.
pub const FILLING_MEMORY: &str = "FillingMemory";
/// The pod's containers get less CPU time than usual, because its memory changes faster than it is copied and
/// `spec.autoConverge` allows it.
pub const SLOWED_DOWN: &str = "SlowedDown";
/// `spec.memory: PreCopy`, and the source's node cannot track writes.
pub const PRE_COPY_UNAVAILABLE: &str = "PreCopyUnavailable";
/// Waiting for an agent that must decide and does not answer.
pub const WAITING_FOR_AGENT: &str = "WaitingForAgent";
/// The owner of the pod was deleted, or ended, while the pod was on its way: the target goes as the source would have gone.
pub const OWNER_GONE: &str = "OwnerGone";
/// Waiting for the owner of the pod to be at rest, so that it takes the target in the place of the source.
pub const WAITING_FOR_OWNER: &str = "WaitingForOwner";
/// The target belongs to the owner of the source now.
pub const ADOPTED: &str = "Adopted";
/// The API server has refused to give the target what makes it the owner's.
pub const ADOPTION_REFUSED: &str = "AdoptionRefused";
/// A migration says that it is a leg of another one, which does not know it.
pub const LEG_UNKNOWN: &str = "LegUnknown";
/// The object of a leg was deleted by somebody else.
pub const LEG_DELETED: &str = "LegDeleted";
/// The workload runs in its stand-in and is on its way back to a pod of its name.
pub const IN_STAND_IN: &str = "InStandIn";
/// The owner of the pod wants it no more: a scale-down, a new revision or a deletion wins.
pub const OWNER_WINS: &str = "OwnerWins";
/// The owner of the pod has let go of its pods, so there is nobody to bring it home to.
pub const OWNER_LET_GO: &str = "OwnerLetGo";
/// Somebody else has made a pod of the name whose workload runs in a stand-in.
pub const NAME_TAKEN: &str = "NameTaken";
/// The stand-in was deleted, ended, or was lost with its node.
pub const STAND_IN_GONE: &str = "StandInGone";
/// The workload runs in its stand-in and does not come home.
pub const LEFT_IN_STAND_IN: &str = "LeftInStandIn";
