//! Builds the target pod from its source: what a user wrote stays, what the cluster added goes, and the ordinary init
//! containers, which have done their work, make room for parking ones.

mod containers;
mod parking;
mod placement;

use std::collections::BTreeMap;

use godwit_crds::checks::operator::POST_START_HOOK;
use godwit_crds::{
    AFFINITY_ANNOTATION, COMPLETED_ANNOTATION, MIGRATION_LABEL, MIGRATION_UID_ANNOTATION, ORIGIN_ANNOTATION,
    PodMigration, RUNTIME_CLASS,
};
use k8s_openapi::api::core::v1::{Affinity, Pod, PodSpec, Toleration, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;

/// Longest name that can also be a host name and a label value.
const NAME_LIMIT: usize = 63;
/// Letters of generated names: no vowels, so no words; the same as Kubernetes uses.
const SUFFIX_LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LENGTH: usize = 5;
/// Annotations that other components wrote about the source itself and that would be wrong on another pod.
const ABOUT_THE_SOURCE: [&str; 9] = [
    "kubectl.kubernetes.io/last-applied-configuration",
    "cni.projectcalico.org/containerID",
    "cni.projectcalico.org/podIP",
    "cni.projectcalico.org/podIPs",
    "k8s.v1.cni.cncf.io/network-status",
    "k8s.v1.cni.cncf.io/networks-status",
    "k8s.ovn.org/pod-networks",
    COMPLETED_ANNOTATION,
    AFFINITY_ANNOTATION,
];

/// Name of the target pod: the origin's name and a hash of the migration's UID, at most 63 characters.
///
/// The origin is the pod from which a chain of migrations started, so that names do not grow.
pub fn name(source: &Pod, migration_uid: &str) -> String {
    let origin = origin(source);
    let room = NAME_LIMIT - SUFFIX_LENGTH - 1;
    let stem: String = origin.chars().take(room).collect();
    format!("{}-{}", stem.trim_end_matches(['-', '.']), suffix(migration_uid))
}

/// Host name that the processes of the source know: it is in their memory, so the target must have it too.
pub fn hostname(source: &Pod) -> String {
    let own = source
        .spec
        .as_ref()
        .and_then(|spec| spec.hostname.clone())
        .filter(|name| !name.is_empty());
    own.unwrap_or_else(|| {
        // As kubelet makes one from a name that is too long.
        let cut: String = source.name_any().chars().take(NAME_LIMIT).collect();
        cut.trim_end_matches(['-', '.']).to_owned()
    })
}

/// The target pod of a migration whose source this is. Preflight has refused sources that this cannot do justice to.
pub fn build(source: &Pod, migration: &PodMigration) -> Pod {
    let uid = migration.metadata.uid.as_deref().unwrap_or_default();
    let spec = source.spec.clone().unwrap_or_default();
    let own_affinity = original_affinity(source, &spec);

    let mut labels: BTreeMap<String, String> = source.labels().clone();
    labels.insert(MIGRATION_LABEL.to_owned(), migration.name_any());
    let mut annotations: BTreeMap<String, String> = source.annotations().clone();
    annotations.retain(|key, _| !ABOUT_THE_SOURCE.contains(&key.as_str()));
    annotations.insert(ORIGIN_ANNOTATION.to_owned(), origin(source));
    annotations.insert(MIGRATION_UID_ANNOTATION.to_owned(), uid.to_owned());
    if let Some(json) = own_affinity
        .as_ref()
        .and_then(|affinity| serde_json::to_string(affinity).ok())
    {
        annotations.insert(AFFINITY_ANNOTATION.to_owned(), json);
    } else {
        annotations.insert(AFFINITY_ANNOTATION.to_owned(), "null".to_owned());
    }

    Pod {
        metadata: ObjectMeta {
            name: Some(name(source, uid)),
            namespace: source.namespace(),
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        },
        spec: Some(pod_spec(source, spec, own_affinity, migration)),
        status: None,
    }
}

fn pod_spec(
    source: &Pod,
    spec: PodSpec,
    own_affinity: Option<Affinity>,
    migration: &PodMigration,
) -> PodSpec {
    let source_node = spec.node_name.clone().unwrap_or_default();
    let injected: Vec<String> = spec
        .volumes
        .iter()
        .flatten()
        .filter(|volume| is_injected(volume))
        .map(|volume| volume.name.clone())
        .collect();
    let restart = migration.spec.restart_containers.as_slice();
    let accept = &migration.spec.accept;
    // Preflight has refused pods that have any, unless that is accepted.
    let drops_hooks = accept.iter().any(|name| name == POST_START_HOOK.name);
    let init_containers = parking::init_containers(&spec, restart, &injected).into_iter();
    let init_containers = init_containers.map(|container| {
        if drops_hooks && !restart.contains(&container.name) {
            containers::without_post_start(container)
        } else {
            container
        }
    });
    let init_containers = Some(init_containers.collect());
    let has_priority_class = spec.priority_class_name.is_some();
    PodSpec {
        // The scheduler binds it; the plan's node is an affinity, so that volumes, taints and resources still count.
        node_name: None,
        affinity: Some(placement::affinity(
            own_affinity,
            migration.spec.target.as_ref(),
            &source_node,
        )),
        runtime_class_name: Some(RUNTIME_CLASS.to_owned()),
        // Admission takes it from the RuntimeClass.
        overhead: None,
        hostname: if spec.hostname_override.is_some() {
            spec.hostname.clone()
        } else {
            Some(hostname(source))
        },
        init_containers,
        containers: spec
            .containers
            .into_iter()
            .map(|container| containers::in_target(container, restart, &injected))
            .map(|container| {
                if drops_hooks {
                    containers::without_post_start(container)
                } else {
                    container
                }
            })
            .collect(),
        ephemeral_containers: None,
        scheduling_gates: None,
        // Admission adds a token of the new pod's own, at the same place.
        volumes: spec.volumes.map(|volumes| {
            volumes
                .into_iter()
                .filter(|volume| !is_injected(volume))
                .collect()
        }),
        // Admission works both out from the class, and refuses others than the class has now.
        priority: if has_priority_class { None } else { spec.priority },
        preemption_policy: if has_priority_class {
            None
        } else {
            spec.preemption_policy
        },
        tolerations: spec.tolerations.map(|tolerations| {
            tolerations
                .into_iter()
                .filter(|toleration| !is_automatic(toleration))
                .collect()
        }),
        // The old name of serviceAccountName, which the API server fills in.
        service_account: None,
        ..spec
    }
}

/// The pod from which the chain of migrations started.
fn origin(source: &Pod) -> String {
    source
        .annotations()
        .get(ORIGIN_ANNOTATION)
        .cloned()
        .unwrap_or_else(|| source.name_any())
}

/// What the user wrote, not what an earlier migration made of it.
fn original_affinity(source: &Pod, spec: &PodSpec) -> Option<Affinity> {
    match source.annotations().get(AFFINITY_ANNOTATION) {
        Some(json) => serde_json::from_str(json).unwrap_or_else(|_| spec.affinity.clone()),
        None => spec.affinity.clone(),
    }
}

/// True for the token volume that service account admission adds.
fn is_injected(volume: &Volume) -> bool {
    volume.projected.is_some() && volume.name.starts_with("kube-api-access-")
}

/// True for what `DefaultTolerationSeconds` admission adds; kept, it would outlive a change of the default.
fn is_automatic(toleration: &Toleration) -> bool {
    let lifecycle = matches!(
        toleration.key.as_deref(),
        Some("node.kubernetes.io/not-ready" | "node.kubernetes.io/unreachable")
    );
    lifecycle
        && toleration.effect.as_deref() == Some("NoExecute")
        && toleration.toleration_seconds == Some(300)
}

/// Five letters from a 64-bit FNV-1a hash: the same migration always names the same pod.
pub(crate) fn suffix(uid: &str) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in uid.bytes() {
        hash ^= u64::from(byte);
        hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
    }
    let base = SUFFIX_LETTERS.len() as u64;
    (0..SUFFIX_LENGTH)
        .map(|_| {
            let letter = usize::try_from(hash % base).map_or('x', |index| char::from(SUFFIX_LETTERS[index]));
            hash /= base;
            letter
        })
        .collect()
}
