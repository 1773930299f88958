//! Pods with owners: each is satisfied, and nobody sees a pod too few or one that nobody asked for.

mod at_once;
mod census;
mod counting_job;
mod each_kind;
mod failures;
mod finished;
mod in_turn;
mod jobs;
mod operator_dies;
mod refused;
mod replicas;
mod revision;
mod scaling;
mod unknown;
mod went_back;

use super::Behaviour;

/// All of them.
pub const ALL: &[Behaviour] = &[
    in_turn::DEPLOYMENT,
    in_turn::WITHOUT_DEPLOYMENT,
    scaling::UP,
    scaling::DOWN_TAKES_IT,
    scaling::DOWN_TAKES_ANOTHER,
    scaling::DOWN_AFTER_THE_COMMIT,
    revision::BEFORE_THE_COMMIT,
    revision::AFTER_THE_COMMIT,
    jobs::PLAIN,
    jobs::INDEXED,
    finished::BEHAVIOUR,
    failures::BEHAVIOUR,
    operator_dies::OF_A_DEPLOYMENT,
    operator_dies::OF_A_JOB,
    unknown::ANNOTATED,
    refused::BY_KIND,
    at_once::BEHAVIOUR,
];
