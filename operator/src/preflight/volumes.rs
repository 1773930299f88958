//! Which volumes a pod may have: those that the new pod gets fresh from the API server, those whose content the agents can copy, files of the
//! node that nobody in the pod can write, which the agents compare, and what both nodes can have mounted at once, which stays where it is.

use godwit_crds::checks::operator;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Volume};

use super::Check;
use crate::claim::Claim;

/// Most volumes whose content travels (`MAX_VOLUMES` of the agents' protocol).
const MOST_COPIED: usize = 128;
/// Media of an `emptyDir` that are directories of files: the node's disk, and memory (`StorageMedium*` in `core/v1/types.go`).
const MEDIA: [&str; 2] = ["", "Memory"];

/// Refuses every volume whose content can neither move nor be had again, by name and kind.
///
/// `claims` are those of the pod.
pub(super) fn check(source: &Pod, claims: &[Claim]) -> Check {
    let none = PodSpec::default();
    let spec = source.spec.as_ref().unwrap_or(&none);
    let volumes = || spec.volumes.iter().flatten();
    let found: Vec<String> = volumes()
        .filter(|volume| !is_fresh(volume) && !is_copied(volume) && !is_compared(spec, volume))
        .filter_map(|volume| match &volume.persistent_volume_claim {
            Some(_) => unshared(claims, spec, volume),
            None => (!is_served(volume)).then(|| told(spec, volume)),
        })
        .collect();
    let copied = volumes().filter(|volume| is_copied(volume)).count();
    let finding = if found.is_empty() {
        (copied > MOST_COPIED)
            .then(|| format!("the pod has {copied} emptyDir volumes; at most {MOST_COPIED} can be copied"))
    } else {
        Some(format!(
            "volumes that cannot move yet: {}; only emptyDir (on disk or in memory), configMap, secret, downwardAPI and projected volumes can, hostPath where every mount is read-only, and what both nodes can mount at once",
            found.join(", ")
        ))
    };
    Check::from_finding(&operator::VOLUMES, "VolumeUnsupported", finding)
}

fn is_fresh(volume: &Volume) -> bool {
    volume.projected.is_some()
        || volume.config_map.is_some()
        || volume.secret.is_some()
        || volume.downward_api.is_some()
}

fn is_copied(volume: &Volume) -> bool {
    volume
        .empty_dir
        .as_ref()
        .is_some_and(|it| MEDIA.contains(&it.medium.as_deref().unwrap_or_default()))
}

/// Files of the node that the pod can only read: the target's agent refuses them unless its node has the same.
fn is_compared(spec: &PodSpec, volume: &Volume) -> bool {
    let of_files = |kind: &str| !matches!(kind, "Socket" | "CharDevice" | "BlockDevice");
    let is_of_files = volume
        .host_path
        .as_ref()
        .is_some_and(|path| of_files(path.type_.as_deref().unwrap_or_default()));
    is_of_files && writer(spec, volume).is_none()
}

/// A directory of a file server that the pod names itself: any node can mount it, and nothing says that only one may.
fn is_served(volume: &Volume) -> bool {
    volume.nfs.is_some()
        || volume.cephfs.is_some()
        || volume.azure_file.is_some()
        || volume.glusterfs.is_some()
}

/// Why the volume's claim is none that both nodes can have at once.
fn unshared(claims: &[Claim], spec: &PodSpec, volume: &Volume) -> Option<String> {
    let named = volume.persistent_volume_claim.as_ref()?;
    let writer = writer(spec, volume).filter(|_| named.read_only != Some(true));
    let unread = Claim {
        name: named.claim_name.clone(),
        ..Claim::default()
    };
    let claim = claims.iter().find(|claim| claim.name == named.claim_name);
    let obstacle = claim
        .unwrap_or(&unread)
        .obstacle(writer.map(|it| it.name.as_str()))?;
    Some(format!("{} ({obstacle})", volume.name))
}

/// A container that can write to the volume.
fn writer<'a>(spec: &'a PodSpec, volume: &Volume) -> Option<&'a Container> {
    let mut all = spec.init_containers.iter().flatten().chain(&spec.containers);
    all.find(|container| {
        let mut mounts = container.volume_mounts.iter().flatten();
        mounts.any(|mount| {
            let propagates = mount
                .mount_propagation
                .as_deref()
                .is_some_and(|how| how != "None");
            mount.name == volume.name && (mount.read_only != Some(true) || propagates)
        })
    })
}

/// Name and kind, and what a user may hope would help but does not.
fn told(spec: &PodSpec, volume: &Volume) -> String {
    let (name, kind) = (&volume.name, kind(volume));
    if let Some(medium) = volume.empty_dir.as_ref().and_then(|it| it.medium.as_deref()) {
        return format!("{name} ({kind} with medium {medium})");
    }
    if volume.ephemeral.is_some() {
        return format!("{name} ({kind}, whatever its access mode)");
    }
    if volume.host_path.is_some()
        && let Some(writer) = writer(spec, volume)
    {
        return format!(
            "{name} ({kind}, which container {} may write to, or sees mounts of the node in)",
            writer.name
        );
    }
    format!("{name} ({kind})")
}

/// The kind as it is spelt in YAML: the one key besides the name.
fn kind(volume: &Volume) -> String {
    let json = serde_json::to_value(volume).ok();
    let kind = json
        .as_ref()
        .and_then(|json| json.as_object())
        .and_then(|object| object.keys().find(|key| *key != "name").cloned());
    kind.unwrap_or_else(|| "unknown kind".to_owned())
}

#[cfg(test)]
mod tests {
    use godwit_crds::Verdict;
    use serde_json::{Value, json};

    use super::*;

    fn verdict(volumes: &Value) -> Check {
        let pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [], "volumes": volumes}});
        check(&serde_json::from_value(pod).unwrap(), &[])
    }

    #[test]
    fn what_is_fresh_or_copied_passes() {
        let check = verdict(&json!([
            {"name": "a", "emptyDir": {}},
            {"name": "b", "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
            {"name": "c", "emptyDir": {"medium": "", "sizeLimit": "1Gi"}},
            {"name": "d", "configMap": {"name": "x"}},
            {"name": "e", "nfs": {"path": "/", "server": "s"}},
        ]));
        assert_eq!(check.verdict, Verdict::Pass, "{}", check.message);
    }

    #[test]
    fn what_is_neither_is_refused_by_name_and_kind() {
        for (volume, words) in [
            (
                json!({"hostPath": {"path": "/run/x.sock", "type": "Socket"}}),
                "v (hostPath)",
            ),
            (
                json!({"persistentVolumeClaim": {"claimName": "data"}}),
                "v (claim data, which is gone or has no volume)",
            ),
            (
                json!({"emptyDir": {"medium": "HugePages-2Mi"}}),
                "v (emptyDir with medium HugePages-2Mi)",
            ),
            (
                json!({"emptyDir": {"medium": "HugePages"}}),
                "v (emptyDir with medium HugePages)",
            ),
            (json!({"image": {"reference": "x"}}), "v (image)"),
            (
                json!({"ephemeral": {"volumeClaimTemplate": {"spec": {}}}}),
                "v (ephemeral, whatever its access mode)",
            ),
            (json!({"csi": {"driver": "x"}}), "v (csi)"),
        ] {
            let mut volume = volume;
            volume["name"] = json!("v");
            let check = verdict(&json!([{"name": "good", "emptyDir": {}}, volume]));
            assert_eq!(
                (check.verdict, check.reason),
                (Verdict::Refuse, "VolumeUnsupported")
            );
            assert!(check.message.contains(words), "{}", check.message);
            assert!(!check.message.contains("good"), "{}", check.message);
        }
    }

    #[test]
    fn files_of_the_node_that_nobody_can_write_are_for_the_agents_to_compare() {
        let with = |first: &Value, second: &Value| {
            let pod = json!({"metadata": {"name": "p"}, "spec": {
                "initContainers": [{"name": "init", "volumeMounts": [first]}],
                "containers": [{"name": "main", "volumeMounts": [second]}],
                "volumes": [{"name": "v", "hostPath": {"path": "/etc/ssl", "type": "Directory"}}],
            }});
            check(&serde_json::from_value(pod).unwrap(), &[])
        };
        let reads = json!({"name": "v", "mountPath": "/v", "readOnly": true});
        let writes = json!({"name": "v", "mountPath": "/v"});
        let sees =
            json!({"name": "v", "mountPath": "/v", "readOnly": true, "mountPropagation": "HostToContainer"});
        assert_eq!(with(&reads, &reads).verdict, Verdict::Pass);
        for (first, second, name) in [
            (&writes, &reads, "init"),
            (&reads, &writes, "main"),
            (&reads, &sees, "main"),
        ] {
            let check = with(first, second);
            assert_eq!(check.verdict, Verdict::Refuse);
            assert!(
                check
                    .message
                    .contains(&format!("which container {name} may write")),
                "{}",
                check.message
            );
        }
    }

    #[test]
    fn a_claim_is_judged_by_what_is_behind_it_and_by_who_writes() {
        let claim = |mode: &str| Claim {
            name: "shop".to_owned(),
            object: Some(serde_json::from_value(json!({"spec": {"accessModes": [mode]}})).unwrap()),
            volume: Some(
                serde_json::from_value(json!({"spec": {
                    "accessModes": [mode], "csi": {"driver": "x.csi", "volumeHandle": "h"},
                }}))
                .unwrap(),
            ),
        };
        let with = |mode: &str, is_read_only: bool| {
            let pod = json!({"metadata": {"name": "p"}, "spec": {
                "containers": [{"name": "main", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "shop", "readOnly": is_read_only}}],
            }});
            check(&serde_json::from_value(pod).unwrap(), &[claim(mode)])
        };
        assert_eq!(with("ReadWriteMany", false).verdict, Verdict::Pass);
        assert_eq!(with("ReadOnlyMany", true).verdict, Verdict::Pass);
        for (mode, is_read_only, words) in [
            ("ReadOnlyMany", false, "container main may write"),
            (
                "ReadWriteOnce",
                true,
                "v (claim shop of driver x.csi, ReadWriteOnce: one node",
            ),
        ] {
            let check = with(mode, is_read_only);
            assert_eq!(check.verdict, Verdict::Refuse);
            assert!(check.message.contains(words), "{}", check.message);
        }
    }

    #[test]
    fn there_is_a_bound() {
        let many: Vec<Value> = (0..=MOST_COPIED)
            .map(|number| json!({"name": format!("v{number}"), "emptyDir": {}}))
            .collect();
        assert_eq!(verdict(&json!(many)).verdict, Verdict::Refuse);
    }
}
