//! Does in the cluster what was decided. Every action is idempotent, and every deletion names the UID that is meant.

mod legs;

use godwit_crds::{COMPLETED_ANNOTATION, MIGRATION_FINALIZER, PodMigration};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use thiserror::Error;

use crate::admission::{self, Mode, NO_DRY_RUN};
use crate::decide::{Action, Decision, adoption_refused, target_refused};
use crate::facts::Observed;
use crate::owner::{self, Withheld};

/// Why an action was not done; it is decided anew and tried again.
#[derive(Debug, Error)]
pub enum ApplyError {
    /// The API server did not answer as it should.
    #[error("cannot {0}")]
    Call(&'static str, #[source] kube::Error),
}

impl ApplyError {
    /// Stable.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Call(..) => "ApplyFailed",
        }
    }
}

/// A decision whose actions have been done. Only this can be published.
pub struct Applied {
    decision: Decision,
}

impl Applied {
    /// What was decided.
    pub fn decision(&self) -> &Decision {
        &self.decision
    }
}

/// Does every action of the decision, in order, but for letting the finalizer go, which is done by [`release`] when
/// the status has been stored. A target pod that the API server refuses for good becomes a failure of the migration.
pub async fn apply(
    client: &Client,
    observed: &Observed,
    decision: Decision,
    now: Timestamp,
) -> Result<Applied, ApplyError> {
    let namespace = observed.migration.namespace().unwrap_or_default();
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
    // Nothing is done to a source before it is known that its owner can lose it and get the target.
    for action in &decision.actions {
        if let Some(message) = refusal(&pods, action).await? {
            return Ok(Applied {
                decision: adoption_refused(observed, &message, now),
            });
        }
    }
    for action in &decision.actions {
        match action {
            Action::AddFinalizer => add_finalizer(client, &observed.migration).await?,
            Action::RemoveFinalizer => {}
            Action::CreateTarget(pod) => {
                let refusal = admission::create(&pods, pod, Mode::Create).await;
                if let Some(message) =
                    refusal.map_err(|error| ApplyError::Call("create the target pod", error))?
                {
                    return Ok(Applied {
                        decision: target_refused(observed, &message, now),
                    });
                }
            }
            Action::DeleteTarget { name, uid, grace } | Action::DeleteSource { name, uid, grace } => {
                delete(&pods, name, uid, Some(*grace)).await?;
            }
            Action::ClearName { name, uid } => delete(&pods, name, uid, Some(0)).await?,
            Action::Guard(on) => legs::guard(client, &observed.migration, *on).await?,
            Action::CreateLeg(leg) => legs::create(client, leg).await?,
            Action::CancelLeg { name, uid } => legs::cancel(client, &namespace, name, uid).await?,
            Action::CostSource { name, uid } => {
                let done = change(&pods, name, &owner::cost(uid), false).await;
                tolerate(done, &[404, 409]).map_err(|error| {
                    ApplyError::Call("give the source pod the lowest deletion cost", error)
                })?;
            }
            Action::ReleaseSource { name, uid, take } => {
                let done = change(&pods, name, &owner::release(uid, take), false).await;
                tolerate(done, &[404, 409])
                    .map_err(|error| ApplyError::Call("release the source pod", error))?;
            }
            Action::AdoptTarget { name, uid, give } => {
                if let Some(message) = adopt(&pods, name, uid, give, false).await? {
                    return Ok(Applied {
                        decision: adoption_refused(observed, &message, now),
                    });
                }
            }
            Action::RetireTarget { name, uid } => delete(&pods, name, uid, None).await?,
            Action::MarkTarget { name, uid } => {
                let patch = json!({
                    "metadata": { "uid": uid, "annotations": { COMPLETED_ANNOTATION: "true" } },
                });
                let done = pods
                    .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
                    .await;
                tolerate(done.map(drop), &[404, 409])
                    .map_err(|error| ApplyError::Call("mark the target pod", error))?;
            }
        }
    }
    Ok(Applied { decision })
}

/// Takes the finalizer off, if that was decided. The status is stored by then.
pub async fn release(client: &Client, migration: &PodMigration, applied: &Applied) -> Result<(), ApplyError> {
    if !applied.decision.actions.contains(&Action::RemoveFinalizer) {
        return Ok(());
    }
    let left: Vec<&String> = migration
        .finalizers()
        .iter()
        .filter(|finalizer| *finalizer != MIGRATION_FINALIZER)
        .collect();
    set_finalizers(client, migration, &left).await
}

async fn add_finalizer(client: &Client, migration: &PodMigration) -> Result<(), ApplyError> {
    let ours = MIGRATION_FINALIZER.to_owned();
    let all: Vec<&String> = migration.finalizers().iter().chain([&ours]).collect();
    set_finalizers(client, migration, &all).await
}

/// Holds only for the object that was seen: somebody else's finalizer that came in between is not lost.
async fn set_finalizers(
    client: &Client,
    migration: &PodMigration,
    finalizers: &[&String],
) -> Result<(), ApplyError> {
    let migrations: Api<PodMigration> =
        Api::namespaced(client.clone(), &migration.namespace().unwrap_or_default());
    let seen = migrations
        .get_metadata_opt(&migration.name_any())
        .await
        .map_err(|error| ApplyError::Call("read the finalizers", error))?;
    let Some(seen) = seen.filter(|seen| seen.metadata.uid == migration.metadata.uid) else {
        return Ok(());
    };
    if seen.metadata.finalizers != migration.metadata.finalizers {
        // Decided on an older list; the change has asked for another look already.
        return Ok(());
    }
    let patch = json!({
        "metadata": { "uid": seen.metadata.uid, "resourceVersion": seen.metadata.resource_version, "finalizers": finalizers },
    });
    let done = migrations
        .patch(
            &migration.name_any(),
            &PatchParams::default(),
            &Patch::Merge(&patch),
        )
        .await;
    tolerate(done.map(drop), &[404]).map_err(|error| ApplyError::Call("set the finalizers", error))
}

/// Without `grace` it is the pod's own.
async fn delete(pods: &Api<Pod>, name: &str, uid: &str, grace: Option<u32>) -> Result<(), ApplyError> {
    let params = DeleteParams {
        grace_period_seconds: grace,
        preconditions: Some(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    // Conflict: another pod has the name by now, so the one that was meant is gone.
    tolerate(pods.delete(name, &params).await.map(drop), &[404, 409])
        .map_err(|error| ApplyError::Call("delete a pod", error))
}

/// What the API server says against a change by which an owner gets the target in the place of the source, asked in a dry run.
async fn refusal(pods: &Api<Pod>, action: &Action) -> Result<Option<String>, ApplyError> {
    let (name, patch) = match action {
        Action::CostSource { name, uid } => (name, owner::cost(uid)),
        Action::ReleaseSource { name, uid, take } => (name, owner::release(uid, take)),
        Action::AdoptTarget { name, uid, give } => return adopt(pods, name, uid, give, true).await,
        _ => return Ok(None),
    };
    match tolerate(change(pods, name, &patch, true).await, &[404, 409]) {
        Ok(()) => Ok(None),
        // A webhook with side effects is not asked: what it thinks is known when it is done.
        Err(kube::Error::Api(status)) if status.message.contains(NO_DRY_RUN) => Ok(None),
        Err(kube::Error::Api(status)) if matches!(status.code, 403 | 422 | 400) => Ok(Some(status.message)),
        Err(error) => Err(ApplyError::Call(
            "ask whether the source pod may be changed",
            error,
        )),
    }
}

/// Gives a target to its owner, or only asks whether that could be done. Gives the API server's words if it refuses.
async fn adopt(
    pods: &Api<Pod>,
    name: &str,
    uid: &str,
    give: &Withheld,
    only_asks: bool,
) -> Result<Option<String>, ApplyError> {
    for blocks in [true, false] {
        let done = change(pods, name, &owner::adoption(uid, give, blocks), only_asks).await;
        match tolerate(done, &[404, 409]) {
            Ok(()) => return Ok(None),
            // A webhook with side effects is not asked: what it thinks is known when it is done.
            Err(kube::Error::Api(status)) if only_asks && status.message.contains(NO_DRY_RUN) => {
                return Ok(None);
            }
            // Whoever may not block an owner's deletion may still refer to it.
            Err(kube::Error::Api(status)) if status.code == 403 && blocks => {}
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 422 | 400) => {
                return Ok(Some(status.message));
            }
            Err(error) => return Err(ApplyError::Call("give the target pod to its owner", error)),
        }
    }
    Ok(None)
}

async fn change(
    pods: &Api<Pod>,
    name: &str,
    patch: &serde_json::Value,
    only_asks: bool,
) -> Result<(), kube::Error> {
    let params = PatchParams {
        dry_run: only_asks,
        ..PatchParams::default()
    };
    pods.patch(name, &params, &Patch::Strategic(patch))
        .await
        .map(drop)
}

fn tolerate(done: Result<(), kube::Error>, codes: &[u16]) -> Result<(), kube::Error> {
    match done {
        Err(kube::Error::Api(status)) if codes.contains(&status.code) => Ok(()),
        other => other,
    }
}
