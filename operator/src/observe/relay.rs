//! Collects what concerns migrations in legs: what a migration is among others, what a parent follows.

use godwit_crds::{Leg, MIGRATION_UID_ANNOTATION, PodMigration, PodMigrationStatus, STAND_IN_LABEL};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::{ObserveError, named, owner, pod};
use crate::facts::Observed;
use crate::owner::Member;
use crate::relay::{self, Role};

/// What the migration is; its parent is read if it says that it has one.
pub(super) async fn role(
    migrations: &Api<PodMigration>,
    migration: &PodMigration,
) -> Result<Role, ObserveError> {
    let Some(reference) = relay::parent_reference(migration) else {
        return Ok(Role::Whole);
    };
    let parent = migrations
        .get_opt(&reference.name)
        .await
        .map_err(|error| ObserveError::Read("the migration whose leg this is", error))?;
    Ok(relay::role(migration, parent.as_ref()))
}

/// The pod that is meant by that name: the one that has it, else the one that stands in for it.
pub(super) async fn meant(client: &Client, namespace: &str, name: &str) -> Result<Option<Pod>, ObserveError> {
    if let Some(pod) = pod(client, namespace, name).await? {
        return Ok(Some(pod));
    }
    // A longer name is no label, so nothing stands in for it.
    if name.len() > 63 {
        return Ok(None);
    }
    // With more than one nobody knows which is meant.
    let mut pods = stand_ins(client, namespace, name).await?.into_iter();
    Ok(pods.next().filter(|_| pods.next().is_none()))
}

/// Every pod that stands in for that one.
async fn stand_ins(client: &Client, namespace: &str, name: &str) -> Result<Vec<Pod>, ObserveError> {
    let of_name = ListParams::default().labels(&format!("{STAND_IN_LABEL}={name}"));
    let found = Api::<Pod>::namespaced(client.clone(), namespace)
        .list(&of_name)
        .await
        .map_err(|error| ObserveError::Read("stand-ins", error))?;
    Ok(found.items.into_iter().filter(relay::is_stand_in).collect())
}

/// Other migrations of the same workload, under whichever of its names.
pub(super) async fn others(
    migrations: &Api<PodMigration>,
    mine: &PodMigration,
    source: Option<&Pod>,
) -> Result<Vec<PodMigration>, ObserveError> {
    let mut names = vec![mine.spec.pod_name.clone()];
    let also = source.map(ResourceExt::name_any);
    let member = source.and_then(Member::from).map(|member| member.name);
    for name in also.into_iter().chain(member) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut others = Vec::new();
    for name in names {
        let of_pod = ListParams::default().fields(&format!("spec.podName={name}"));
        let listed = migrations
            .list(&of_pod)
            .await
            .map_err(|error| ObserveError::Read("other migrations", error))?;
        others.extend(listed.items);
    }
    Ok(others)
}

/// Fills in what a migration in legs goes by.
pub(super) async fn parent(
    client: &Client,
    namespace: &str,
    migrations: &Api<PodMigration>,
    observed: &mut Observed,
    status: &PodMigrationStatus,
) -> Result<(), ObserveError> {
    if status.phase.is_final() && !relay::guards(&observed.migration) {
        return Ok(());
    }
    let plan = status.plan.as_ref();
    if let Some(name) = plan.and_then(|plan| plan.target_pod_name.as_ref()) {
        observed.source = pod(client, namespace, name).await?;
        let away = status.legs.iter().find(|leg| leg.leg == Leg::Away);
        observed.target = if let Some(stand_in) = away.and_then(|away| away.pod.as_ref()) {
            pod(client, namespace, stand_in).await?
        } else {
            // An operator that was away may find a leg that is over, and has never read its plan.
            let uid = away.and_then(|away| away.uid.as_ref());
            let mut pods = stand_ins(client, namespace, name).await?.into_iter();
            pods.find(|pod| uid.is_some() && pod.annotations().get(MIGRATION_UID_ANNOTATION) == uid)
        };
    }
    let pods = [&observed.target, &observed.source];
    let nodes = pods.into_iter().flatten();
    let nodes = nodes.filter_map(|pod| pod.spec.as_ref()?.node_name.clone());
    observed.nodes = named(client, nodes.collect::<Vec<_>>().into_iter()).await?;
    if status.phase.is_final() {
        return Ok(());
    }
    if let Some(last) = status.legs.last() {
        observed.relay.leg = migrations
            .get_opt(&last.migration)
            .await
            .map_err(|error| ObserveError::Read("a leg", error))?;
    }
    let member = observed.target.as_ref().and_then(Member::from);
    let member = member.or_else(|| observed.planned_source().and_then(Member::of));
    if let Some(member) = member {
        observed.owner = owner::of_member(client, namespace, &member).await?;
    }
    Ok(())
}
