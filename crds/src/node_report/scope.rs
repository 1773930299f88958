//! Which pods a report is about.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// By which kubelet marks the mirror of a static pod (kubernetes `pkg/kubelet/types`, `ConfigMirrorAnnotationKey`).
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Whether the pod is only the image of one that a file of its node describes.
pub fn is_mirror(pod: &Pod) -> bool {
    pod.annotations().contains_key(MIRROR)
}

/// True for pods that nobody would move, and a drain does not wait for either: of a DaemonSet, which has one on each node; mirrors of
/// static pods, which are files of the node; and those whose containers have all ended.
pub fn is_ignored(pod: &Pod) -> bool {
    let ended = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref())
        .is_some_and(|phase| matches!(phase, "Succeeded" | "Failed"));
    let of_daemon_set = pod.owner_references().iter().any(|owner| {
        owner.controller == Some(true) && owner.kind == "DaemonSet" && owner.api_version.starts_with("apps/")
    });
    ended || of_daemon_set || is_mirror(pod)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(metadata: &Value, phase: &str) -> Pod {
        serde_json::from_value(json!({"metadata": metadata, "status": {"phase": phase}})).unwrap()
    }

    #[test]
    fn pods_of_every_node_and_those_that_have_ended_are_ignored() {
        let owned = |api: &str, kind: &str, controller: bool| json!({"ownerReferences": [{"apiVersion": api, "kind": kind, "name": "o", "uid": "u", "controller": controller}]});
        assert!(!is_ignored(&pod(&json!({}), "Running")));
        assert!(!is_ignored(&pod(&json!({}), "Pending")));
        assert!(is_ignored(&pod(&json!({}), "Succeeded")));
        assert!(is_ignored(&pod(&json!({}), "Failed")));
        assert!(is_ignored(&pod(&owned("apps/v1", "DaemonSet", true), "Running")));
        assert!(!is_ignored(&pod(
            &owned("apps/v1", "DaemonSet", false),
            "Running"
        )));
        assert!(!is_ignored(&pod(
            &owned("example.com/v1", "DaemonSet", true),
            "Running"
        )));
        assert!(!is_ignored(&pod(
            &owned("apps/v1", "ReplicaSet", true),
            "Running"
        )));
        let mirror = json!({"annotations": {MIRROR: "x"}});
        assert!(is_ignored(&pod(&mirror, "Running")));
    }
}
