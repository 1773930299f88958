//! Pods with owners in the model: what the API server has of them, and what owners do.

use godwit_operator::decide::Action;
use godwit_operator::facts::Observed;
use godwit_operator::owner::{Kind, LOWEST_COST, Owner, Withheld, is_costed, reference};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::{Value, json};

use crate::support::pod;
use crate::world::{World, delete};

/// What a source of each kind has of its owner.
const LABELS: [(&str, &str); 3] = [("app", "redis"), ("pod-template-hash", "7d"), ("team", "a")];

/// A world whose pod belongs to a ReplicaSet, a ReplicationController, a Job or something unknown that takes it under
/// another name.
pub fn world(kind: &str) -> World {
    let mut world = World::new();
    world.observed.source = Some(source(kind));
    world.observed.owner = owner(kind, &json!({}), &settled());
    world
}

fn source(kind: &str) -> Pod {
    let version = match kind {
        "ReplicaSet" => "apps/v1",
        "Job" => "batch/v1",
        "ReplicationController" => "v1",
        _ => "example.com/v1",
    };
    pod(|pod| {
        let labels: Value = LABELS
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        pod["metadata"]["labels"] = labels;
        pod["metadata"]["annotations"]["godwit.dev/owner-accepts-new-name"] = json!("true");
        pod["metadata"]["ownerReferences"] = json!([
            {"apiVersion": version, "kind": kind, "name": "shop", "uid": "owner-uid", "controller": true, "blockOwnerDeletion": true}
        ]);
        if kind == "Job" {
            pod["metadata"]["finalizers"] = json!(["batch.kubernetes.io/job-tracking"]);
        }
        pod["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
    })
}

/// Three are wanted and there.
pub fn settled() -> Value {
    json!({"observedGeneration": 1, "replicas": 3, "readyReplicas": 3})
}

/// The owner's object with that much else in its metadata, and that status.
pub fn owner(kind: &str, metadata: &Value, status: &Value) -> Option<Owner> {
    let mut object = json!({
        "metadata": {"name": "shop", "uid": "owner-uid", "generation": 1},
        "spec": {"replicas": 3, "template": {}, "selector": {"matchLabels": {"app": "redis", "pod-template-hash": "7d"}}},
        "status": status,
    });
    for (key, value) in metadata.as_object().unwrap() {
        object["metadata"][key] = value.clone();
    }
    match kind {
        "ReplicaSet" => Some(Owner::of_replica_set(
            &serde_json::from_value(object).unwrap(),
            "owner-uid",
        )),
        "ReplicationController" => {
            object["spec"]["selector"] = object["spec"]["selector"]["matchLabels"].clone();
            let object = serde_json::from_value(object).unwrap();
            Some(Owner::of_replication_controller(&object, "owner-uid"))
        }
        "Job" => Some(Owner::of_job(
            &serde_json::from_value(object).unwrap(),
            "owner-uid",
        )),
        _ => None,
    }
}

/// What holds of every change that concerns an owner.
pub fn check(observed: &Observed, action: &Action, all: &[Action]) {
    let adopts = all
        .iter()
        .any(|action| matches!(action, Action::AdoptTarget { .. }));
    match action {
        Action::ReleaseSource { .. } => {
            assert!(
                matches!(all.last(), Some(Action::AdoptTarget { .. })),
                "released, and nobody in its place: {all:?}"
            );
        }
        Action::CostSource { .. } => assert!(adopts, "a cost for nothing: {all:?}"),
        Action::RetireTarget { .. } => {
            assert!(matches!(observed.owner, Some(Owner::Ends(_))), "its owner lives");
        }
        Action::AdoptTarget { .. } => {
            let target = observed.own_target().unwrap();
            let withheld = Withheld::from(target).unwrap_or_else(|| panic!("adopted twice"));
            assert!(target.metadata.deletion_timestamp.is_none());
            let source = observed.planned_source();
            let Some(source) =
                source.filter(|source| source.metadata.deletion_timestamp.is_none() && withheld.owns(source))
            else {
                return;
            };
            let is_prepared = match withheld.kind() {
                Kind::Job => all
                    .iter()
                    .any(|action| matches!(action, Action::ReleaseSource { .. })),
                kind if kind.counts_replicas() => {
                    let costs = all.iter().any(|action| {
                        matches!(action, Action::CostSource { .. } | Action::DeleteSource { .. })
                    });
                    costs || is_costed(source)
                }
                _ => true,
            };
            assert!(is_prepared, "the owner could choose the target: {all:?}");
        }
        _ => {}
    }
}

/// What the API server makes of it.
pub fn apply(world: &mut World, action: &Action) {
    let now = world.now;
    match action {
        Action::CostSource { .. } => {
            if let Some(source) = &mut world.observed.source {
                let annotations = source.metadata.annotations.get_or_insert_default();
                annotations.insert(
                    "controller.kubernetes.io/pod-deletion-cost".to_owned(),
                    LOWEST_COST.to_owned(),
                );
            }
        }
        Action::ReleaseSource { take, .. } => {
            if let Some(source) = &mut world.observed.source {
                source.metadata.owner_references = None;
                source.metadata.finalizers = None;
                source
                    .labels_mut()
                    .retain(|key, _| !take.labels.contains_key(key));
            }
        }
        Action::AdoptTarget { give, .. } => {
            if let Some(target) = &mut world.observed.target {
                target.labels_mut().extend(give.labels.clone());
                target.metadata.owner_references = Some(give.references.clone());
                target.metadata.finalizers = Some(give.finalizers.clone());
                target.annotations_mut().remove("godwit.dev/withheld");
            }
        }
        Action::RetireTarget { .. } => delete(&mut world.observed.target, 30, now),
        _ => panic!("{action:?} is none of an owner's"),
    }
}

/// A replica set with one pod too many deletes one, as Kubernetes ranks them. Gives whether it was the target.
pub fn owner_deletes_one(world: &mut World) -> Option<bool> {
    let now = world.now;
    let (source, target) = (world.observed.source.as_ref()?, world.observed.target.as_ref()?);
    let counts = |pod: &Pod| reference(pod).is_some_and(|owner| Kind::of(owner).counts_replicas());
    let active = |pod: &Pod| pod.metadata.deletion_timestamp.is_none() && counts(pod);
    if !active(source) || !active(target) {
        return None;
    }
    let ready = |pod: &Pod| godwit_operator::facts::pod_condition(pod, "Ready");
    let takes_target = match (ready(source), ready(target)) {
        (true, false) => true,
        (false, true) => false,
        _ => !is_costed(source),
    };
    let victim = if takes_target {
        &mut world.observed.target
    } else {
        &mut world.observed.source
    };
    delete(victim, 30, now);
    Some(takes_target)
}
