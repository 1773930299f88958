//! How an owner stands, read from its object.

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ReplicationController;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Selection;

/// The controller of Jobs that Kubernetes brings along.
const JOB_CONTROLLER: &str = "kubernetes.io/job-controller";

/// Finalizer of an object whose pods are to stay (`kubectl delete --cascade=orphan`): garbage collection takes the references
/// off them before it lets the object go.
const ORPHANS: &str = "orphan";

/// An owner of a kind that Godwit knows.
#[derive(Clone, Debug)]
pub enum Owner {
    /// It cares for its pods.
    Lives(Living),
    /// It does not any more, and its pods go with it; why, as the end of a sentence that begins with its name.
    Ends(String),
}

/// What is to be known of an owner that lives.
#[derive(Clone, Debug)]
pub struct Living {
    /// How it finds its pods.
    pub selection: Selection,
    /// As many pods as are wanted are there, and it has seen what is wanted.
    pub is_complete: bool,
    /// How many of them are not ready.
    pub not_ready: i32,
    /// When anybody last changed the object; to the second.
    pub changed: Option<Timestamp>,
    /// The controller that is responsible instead of the usual one.
    pub managed_by: Option<String>,
}

impl Owner {
    /// What an object of that name says of itself, for somebody who means the one with that UID.
    pub(super) fn of(metadata: &ObjectMeta, uid: &str, living: impl FnOnce() -> Living) -> Self {
        if metadata.uid.as_deref() != Some(uid) {
            return Self::absent();
        }
        if metadata.deletion_timestamp.is_none() {
            return Self::Lives(living());
        }
        let orphans = metadata
            .finalizers
            .iter()
            .flatten()
            .any(|finalizer| finalizer == ORPHANS);
        if !orphans {
            return Self::Ends("is being deleted".to_owned());
        }
        // What it lets go is its own in a moment: until then nobody is given to it.
        Self::Lives(Living {
            is_complete: false,
            ..living()
        })
    }

    /// There is no such object.
    pub fn absent() -> Self {
        Self::Ends("is gone".to_owned())
    }

    /// A ReplicaSet, if it is the one with that UID.
    pub fn of_replica_set(object: &ReplicaSet, uid: &str) -> Self {
        Self::of(&object.metadata, uid, || {
            let spec = &object.spec;
            let status = object.status.clone().unwrap_or_default();
            let wanted = spec.replicas.unwrap_or(1);
            Living {
                selection: Selection::of(&spec.selector),
                is_complete: has_seen(&object.metadata, status.observed_generation)
                    && status.replicas == wanted,
                not_ready: wanted - status.ready_replicas.unwrap_or(0),
                changed: changed(&object.metadata),
                managed_by: None,
            }
        })
    }

    /// A ReplicationController, likewise.
    pub fn of_replication_controller(object: &ReplicationController, uid: &str) -> Self {
        Self::of(&object.metadata, uid, || {
            let spec = object.spec.clone().unwrap_or_default();
            let status = object.status.clone().unwrap_or_default();
            let wanted = spec.replicas.unwrap_or(1);
            Living {
                selection: Selection::of_labels(&spec.selector.unwrap_or_default()),
                is_complete: has_seen(&object.metadata, status.observed_generation)
                    && status.replicas == wanted,
                not_ready: wanted - status.ready_replicas.unwrap_or(0),
                changed: changed(&object.metadata),
                managed_by: None,
            }
        })
    }

    /// A Job, likewise. One that is over counts and deletes no pod any more (kubernetes `job_controller.go`, `syncJob`).
    pub fn of_job(object: &Job, uid: &str) -> Self {
        let conditions = object
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten());
        let end = conditions
            .filter(|condition| condition.status == "True")
            .find(|condition| matches!(condition.type_.as_str(), "Complete" | "Failed"));
        let living = Self::of(&object.metadata, uid, || {
            let spec = object.spec.clone().unwrap_or_default();
            Living {
                selection: Selection::of(&spec.selector.unwrap_or_default()).of_a_job(),
                is_complete: true,
                not_ready: 0,
                changed: changed(&object.metadata),
                managed_by: spec.managed_by.filter(|manager| manager != JOB_CONTROLLER),
            }
        });
        match (living, end) {
            (Self::Lives(_), Some(end)) => Self::Ends(format!("is over ({})", end.type_)),
            (living, _) => living,
        }
    }
}

pub(super) fn has_seen(metadata: &ObjectMeta, observed: Option<i64>) -> bool {
    observed.unwrap_or(0) >= metadata.generation.unwrap_or(0)
}

/// When anybody last changed an object, by its managed fields.
pub fn changed(metadata: &ObjectMeta) -> Option<Timestamp> {
    let fields = metadata.managed_fields.iter().flatten();
    fields
        .filter_map(|entry| entry.time.as_ref().map(|time| time.0))
        .max()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn replica_set(status: &Value) -> Owner {
        let object = json!({
            "metadata": {"name": "web", "uid": "u", "generation": 4},
            "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}},
            "status": status,
        });
        Owner::of_replica_set(&serde_json::from_value(object).unwrap(), "u")
    }

    fn living(owner: Owner) -> Living {
        match owner {
            Owner::Lives(living) => living,
            Owner::Ends(why) => panic!("{why}"),
        }
    }

    #[test]
    fn a_replica_set_is_complete_when_it_has_seen_what_is_wanted_and_has_as_many() {
        for (status, is_complete, not_ready) in [
            (
                json!({"observedGeneration": 4, "replicas": 3, "readyReplicas": 3}),
                true,
                0,
            ),
            (
                json!({"observedGeneration": 4, "replicas": 3, "readyReplicas": 2}),
                true,
                1,
            ),
            (
                json!({"observedGeneration": 3, "replicas": 3, "readyReplicas": 3}),
                false,
                0,
            ),
            (
                json!({"observedGeneration": 4, "replicas": 4, "readyReplicas": 3}),
                false,
                0,
            ),
            (
                json!({"observedGeneration": 4, "replicas": 2, "readyReplicas": 2}),
                false,
                1,
            ),
            (Value::Null, false, 3),
        ] {
            let living = living(replica_set(&status));
            assert_eq!(
                (living.is_complete, living.not_ready),
                (is_complete, not_ready),
                "{status}"
            );
        }
    }

    #[test]
    fn an_object_of_another_uid_and_one_that_is_deleted_is_no_owner() {
        let object: ReplicaSet =
            serde_json::from_value(json!({"metadata": {"name": "web", "uid": "new"}})).unwrap();
        assert!(matches!(Owner::of_replica_set(&object, "old"), Owner::Ends(_)));
        let object: ReplicaSet = serde_json::from_value(
            json!({"metadata": {"name": "web", "uid": "u", "deletionTimestamp": "2027-01-15T08:00:00Z"}}),
        )
        .unwrap();
        assert!(matches!(Owner::of_replica_set(&object, "u"), Owner::Ends(_)));
        let mut orphans = object;
        orphans.metadata.finalizers = Some(vec!["orphan".to_owned()]);
        assert!(!living(Owner::of_replica_set(&orphans, "u")).is_complete);
    }

    #[test]
    fn a_job_that_is_over_is_no_owner_and_one_of_another_controller_is_told_apart() {
        let job = |spec: Value, conditions: Value| {
            let object = json!({"metadata": {"name": "sum", "uid": "u"}, "spec": spec, "status": {"conditions": conditions}});
            Owner::of_job(&serde_json::from_value(object).unwrap(), "u")
        };
        let spec = |manager: Option<&str>| json!({"template": {}, "selector": {"matchLabels": {"uid": "u"}}, "managedBy": manager});
        let over = job(spec(None), json!([{"type": "Complete", "status": "True"}]));
        assert!(matches!(over, Owner::Ends(why) if why.contains("Complete")));
        let suspended = job(
            spec(None),
            json!([{"type": "Suspended", "status": "True"}, {"type": "Failed", "status": "False"}]),
        );
        assert_eq!(living(suspended).managed_by, None);
        assert_eq!(
            living(job(spec(Some("kubernetes.io/job-controller")), json!([]))).managed_by,
            None
        );
        assert_eq!(
            living(job(spec(Some("kueue.x-k8s.io/multikueue")), json!([])))
                .managed_by
                .as_deref(),
            Some("kueue.x-k8s.io/multikueue")
        );
    }
}
