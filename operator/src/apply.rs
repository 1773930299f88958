//! Does in the cluster what was decided. Every action is idempotent, and every deletion names the UID that is meant.

use godwit_crds::{COMPLETED_ANNOTATION, MIGRATION_FINALIZER, PodMigration};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use thiserror::Error;

use crate::admission::{self, Mode};
use crate::decide::{Action, Decision, target_refused};
use crate::facts::Observed;

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
                delete(&pods, name, uid, *grace).await?;
            }
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

async fn delete(pods: &Api<Pod>, name: &str, uid: &str, grace: u32) -> Result<(), ApplyError> {
    let params = DeleteParams {
        grace_period_seconds: Some(grace),
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

fn tolerate(done: Result<(), kube::Error>, codes: &[u16]) -> Result<(), kube::Error> {
    match done {
        Err(kube::Error::Api(status)) if codes.contains(&status.code) => Ok(()),
        other => other,
    }
}
