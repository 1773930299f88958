//! Reads the claims of a pod and the volumes they are bound to.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::{Api, Client};

use super::ObserveError;
use crate::claim::Claim;

/// Every claim that a volume of the pod names, once.
pub(super) async fn of(client: &Client, namespace: &str, pod: &Pod) -> Result<Vec<Claim>, ObserveError> {
    let volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let mut names: Vec<&str> = volumes
        .filter_map(|volume| volume.persistent_volume_claim.as_ref())
        .map(|claim| claim.claim_name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let mut found = Vec::new();
    for name in names {
        let object = claims
            .get_opt(name)
            .await
            .map_err(|error| ObserveError::Read("a claim of the pod", error))?;
        let bound_to = object
            .as_ref()
            .and_then(|claim| claim.spec.as_ref()?.volume_name.as_deref());
        let volume = match bound_to {
            Some(volume) => volumes
                .get_opt(volume)
                .await
                .map_err(|error| ObserveError::Read("the volume of a claim", error))?,
            None => None,
        };
        found.push(Claim {
            name: name.to_owned(),
            object,
            volume,
        });
    }
    Ok(found)
}
