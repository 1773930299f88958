//! Changes to source and target by which an owner loses the one and gets the other, as strategic merge patches: lists of
//! references and finalizers are merged, so that what somebody else has put there stays. Kubernetes' own controllers adopt
//! and release in the same way (`pkg/controller/controller_ref_manager.go`). Each names the UID that is meant.

use godwit_crds::WITHHELD_ANNOTATION;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Map, Value, json};

use super::Withheld;

/// Annotation by which replica sets rank pods that they could delete, else equal: the lowest first
/// (k8s.io/api/core/v1, `PodDeletionCost`).
const COST_ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The lowest cost that the API server takes: 32 bits with a sign.
pub const LOWEST_COST: &str = "-2147483648";

/// True when the pod has the lowest deletion cost.
pub fn is_costed(pod: &Pod) -> bool {
    pod.annotations().get(COST_ANNOTATION).map(String::as_str) == Some(LOWEST_COST)
}

/// Gives a source the lowest deletion cost.
pub fn cost(uid: &str) -> Value {
    json!({"metadata": {"uid": uid, "annotations": {COST_ANNOTATION: LOWEST_COST}}})
}

/// Takes from a source all that makes it the owner's.
pub fn release(uid: &str, withheld: &Withheld) -> Value {
    let references: Vec<Value> = withheld
        .references
        .iter()
        .map(|reference| json!({"$patch": "delete", "uid": reference.uid}))
        .collect();
    let labels: Map<String, Value> = withheld
        .labels
        .keys()
        .map(|key| (key.clone(), Value::Null))
        .collect();
    json!({"metadata": {
        "uid": uid, "labels": labels, "ownerReferences": references,
        "$deleteFromPrimitiveList/finalizers": withheld.finalizers,
    }})
}

/// Gives a target what was withheld, and takes the note of it away: what has been given is never given again.
///
/// With `blocks` references stay as they were; without, no reference blocks the deletion of its owner. The API server may
/// demand rights on the owner for a reference that blocks (`OwnerReferencesPermissionEnforcement`).
pub fn adoption(uid: &str, withheld: &Withheld, blocks: bool) -> Value {
    let mut references = withheld.references.clone();
    if !blocks {
        for reference in &mut references {
            reference.block_owner_deletion = None;
        }
    }
    json!({"metadata": {
        "uid": uid, "labels": withheld.labels, "ownerReferences": references, "finalizers": withheld.finalizers,
        "annotations": {WITHHELD_ANNOTATION: null},
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn withheld() -> Withheld {
        serde_json::from_value(json!({
            "labels": {"controller-uid": "j"}, "finalizers": ["batch.kubernetes.io/job-tracking"],
            "references": [{"apiVersion": "batch/v1", "kind": "Job", "name": "sum", "uid": "j", "controller": true, "blockOwnerDeletion": true}],
        }))
        .unwrap()
    }

    #[test]
    fn a_release_takes_what_an_adoption_gives() {
        assert_eq!(
            release("s", &withheld()),
            json!({"metadata": {
                "uid": "s", "labels": {"controller-uid": null}, "ownerReferences": [{"$patch": "delete", "uid": "j"}],
                "$deleteFromPrimitiveList/finalizers": ["batch.kubernetes.io/job-tracking"],
            }})
        );
        let given = adoption("t", &withheld(), true);
        assert_eq!(
            given["metadata"]["ownerReferences"][0]["blockOwnerDeletion"],
            true
        );
        assert_eq!(
            given["metadata"]["annotations"],
            json!({"godwit.dev/withheld": null})
        );
        assert_eq!(given["metadata"]["labels"], json!({"controller-uid": "j"}));
        assert_eq!(
            given["metadata"]["finalizers"],
            json!(["batch.kubernetes.io/job-tracking"])
        );
        assert!(
            adoption("t", &withheld(), false)["metadata"]["ownerReferences"][0]
                .get("blockOwnerDeletion")
                .is_none()
        );
    }

    #[test]
    fn the_lowest_cost_is_the_lowest_number_of_32_bits() {
        assert_eq!(LOWEST_COST.parse(), Ok(i32::MIN));
        assert_eq!(
            cost("s"),
            json!({"metadata": {"uid": "s", "annotations": {"controller.kubernetes.io/pod-deletion-cost": "-2147483648"}}})
        );
    }
}
