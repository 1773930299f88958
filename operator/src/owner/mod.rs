//! Owners of pods: which ones Godwit knows, what a target pod must not have before its owner may count it, and how it
//! gets that back. Pure; `observe` fetches, `decide` decides when, `apply` does it.
//!
//! A controller adopts or counts every pod that has its owner reference, or that matches its selector and has no
//! controller (kubernetes `pkg/controller/controller_ref_manager.go`, `ClaimPods`). While source and target both exist,
//! one pod too many is there, and which one a controller then deletes is its own choice. So the target is made without all
//! that and gets it when it runs:
//!
//! | owner | which pod it deletes of one too many | order |
//! |---|---|---|
//! | ReplicaSet, ReplicationController | unassigned, pending, not ready, lowest `pod-deletion-cost` (`controller_utils.go`, `ActivePodsWithRanks`) | the source gets the lowest cost, the target is adopted, the owner deletes the source |
//! | Job | pending, not ready, newest; the cost is unknown to it (`ActivePods`) | the source is released, the target is adopted at once: the Job looks no sooner than a second after an event (`job_controller.go`, `SyncJobBatchPeriod`) |
//! | StatefulSet | none: it wants names | in two legs, see [`crate::relay`] |
//! | any other | unknown | the target is adopted, the source deleted |

mod kind;
mod member;
mod patch;
mod selection;
mod standing;
mod stateful;
mod withheld;

pub use kind::{Kind, reference};
pub use member::{Member, home_of, stand_in_for};
pub use patch::{LOWEST_COST, adoption, cost, is_costed, release};
pub use selection::Selection;
pub use standing::{Living, Owner, changed};
pub use stateful::{POD_INDEX_LABEL, POD_NAME_LABEL, REVISION_LABEL, ordinal};
pub use withheld::{Withheld, target_of};

/// Finalizer by which the Job controller makes sure that it has counted a pod (`batch.JobTrackingFinalizer` of
/// k8s.io/api/batch/v1). Without it a pod is one that has been counted already.
pub const JOB_FINALIZER: &str = "batch.kubernetes.io/job-tracking";
