//! What a migration in legs does besides what every one does.

use godwit_crds::{GUARD_LABEL, PodMigration};
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::{ApplyError, tolerate};
use crate::FIELD_MANAGER;

/// Guards the name of the migration's pod, or ceases to.
pub(super) async fn guard(client: &Client, migration: &PodMigration, on: bool) -> Result<(), ApplyError> {
    let namespace = migration.namespace().unwrap_or_default();
    let migrations: Api<PodMigration> = Api::namespaced(client.clone(), &namespace);
    let patch = json!({"metadata": {
        "uid": migration.metadata.uid, "labels": {GUARD_LABEL: on.then_some("true")},
    }});
    let done = migrations
        .patch(
            &migration.name_any(),
            &PatchParams::default(),
            &Patch::Merge(&patch),
        )
        .await;
    tolerate(done.map(drop), &[404, 409]).map_err(|error| ApplyError::Call("guard the pod's name", error))
}

/// Makes a leg. One that is there already was made by an earlier look, or is in the way: the next look tells.
pub(super) async fn create(client: &Client, leg: &PodMigration) -> Result<(), ApplyError> {
    let migrations: Api<PodMigration> = Api::namespaced(client.clone(), &leg.namespace().unwrap_or_default());
    let params = PostParams {
        dry_run: false,
        field_manager: Some(FIELD_MANAGER.to_owned()),
    };
    let done = migrations.create(&params, leg).await;
    tolerate(done.map(drop), &[409]).map_err(|error| ApplyError::Call("make a leg", error))
}

/// Cancels a leg.
pub(super) async fn cancel(
    client: &Client,
    namespace: &str,
    name: &str,
    uid: &str,
) -> Result<(), ApplyError> {
    let migrations: Api<PodMigration> = Api::namespaced(client.clone(), namespace);
    let patch = json!({"metadata": {"uid": uid}, "spec": {"cancel": true}});
    let done = migrations
        .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await;
    tolerate(done.map(drop), &[404, 409]).map_err(|error| ApplyError::Call("cancel a leg", error))
}
