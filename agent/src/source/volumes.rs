//! Which volumes travel.

use k8s_openapi::api::core::v1::PodSpec;

use super::containers::lasting;

/// Names of the volumes whose content is the pod's own, and which a container sees that goes on running: kubelet makes no other for the target
/// (`GetPodVolumeNames` in kubernetes pkg/volume/util/util.go), and nobody could read it there.
pub(super) fn of_pod(spec: &PodSpec) -> Vec<String> {
    let is_seen = |name: &str| {
        let mut mounts = lasting(spec).flat_map(|container| container.volume_mounts.iter().flatten());
        mounts.any(|mount| mount.name == name)
    };
    let its_own = spec
        .volumes
        .iter()
        .flatten()
        .filter(|volume| volume.empty_dir.is_some());
    its_own
        .filter(|volume| is_seen(&volume.name))
        .map(|volume| volume.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sees_any_more_stays() {
        let mounts = |name: &str| serde_json::json!([{"name": name, "mountPath": "/v"}]);
        let spec = serde_json::json!({
            "initContainers": [
                {"name": "done", "volumeMounts": mounts("of-init")},
                {"name": "side", "restartPolicy": "Always", "volumeMounts": mounts("of-sidecar")},
            ],
            "containers": [{"name": "main", "volumeMounts": mounts("of-main")}],
            "volumes": [
                {"name": "of-init", "emptyDir": {}},
                {"name": "of-sidecar", "emptyDir": {}},
                {"name": "of-main", "emptyDir": {"medium": "Memory"}},
                {"name": "unused", "emptyDir": {}},
                {"name": "other", "configMap": {"name": "x"}},
            ],
        });
        let volumes = of_pod(&serde_json::from_value(spec).unwrap());
        assert_eq!(volumes, ["of-sidecar", "of-main"]);
    }
}
