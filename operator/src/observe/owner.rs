//! Reads the object of a pod's owner, where its kind is one that Godwit knows.

use k8s_openapi::api::apps::v1::{ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ReplicationController;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Api, Client};

use super::ObserveError;
use crate::facts::Observed;
use crate::owner::{self, Kind, Member, Owner, Withheld};

/// The owner of which something is withheld from the target; before there is a target, the owner of the source.
pub(super) async fn of(
    client: &Client,
    namespace: &str,
    observed: &Observed,
) -> Result<Option<Owner>, ObserveError> {
    let reference = match (observed.own_target(), &observed.source) {
        (Some(target), _) => Withheld::from(target).and_then(|withheld| withheld.reference().cloned()),
        (None, Some(source)) => match Member::meant_by(source) {
            Some(member) => return of_member(client, namespace, &member).await,
            None => owner::reference(source).cloned(),
        },
        (None, None) => None,
    };
    match reference {
        Some(reference) => fetch(client, namespace, &reference).await,
        None => Ok(None),
    }
}

/// The StatefulSet of a pod, as far as that pod is concerned.
pub(super) async fn of_member(
    client: &Client,
    namespace: &str,
    member: &Member,
) -> Result<Option<Owner>, ObserveError> {
    let Some(reference) = member.reference() else {
        return Ok(None);
    };
    let set = Api::<StatefulSet>::namespaced(client.clone(), namespace)
        .get_opt(&reference.name)
        .await
        .map_err(|error| ObserveError::Read("the pod's owner", error))?;
    let owner = set.map(|set| Owner::of_stateful_set(&set, &reference.uid, member));
    Ok(Some(owner.unwrap_or_else(Owner::absent)))
}

async fn fetch(
    client: &Client,
    namespace: &str,
    reference: &OwnerReference,
) -> Result<Option<Owner>, ObserveError> {
    let (name, uid) = (reference.name.as_str(), reference.uid.as_str());
    let unread = |error| ObserveError::Read("the pod's owner", error);
    let client = client.clone();
    let owner = match Kind::of(reference) {
        Kind::ReplicaSet => Api::<ReplicaSet>::namespaced(client, namespace)
            .get_opt(name)
            .await
            .map_err(unread)?
            .map(|object| Owner::of_replica_set(&object, uid)),
        Kind::ReplicationController => Api::<ReplicationController>::namespaced(client, namespace)
            .get_opt(name)
            .await
            .map_err(unread)?
            .map(|object| Owner::of_replication_controller(&object, uid)),
        Kind::Job => Api::<Job>::namespaced(client, namespace)
            .get_opt(name)
            .await
            .map_err(unread)?
            .map(|object| Owner::of_job(&object, uid)),
        Kind::StatefulSet | Kind::DaemonSet | Kind::Node | Kind::Other => return Ok(None),
    };
    Ok(Some(owner.unwrap_or_else(Owner::absent)))
}
