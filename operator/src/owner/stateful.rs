//! Whether a StatefulSet wants a pod of its own as it is.
//!
//! A pod is a member by its name alone, `<set>-<ordinal>` (kubernetes `pkg/controller/statefulset/stateful_set_utils.go`,
//! `getParentNameAndOrdinal`, `isMemberOf`): a pod of another name is never adopted, whatever its labels.

use k8s_openapi::api::apps::v1::StatefulSet;

use super::standing::{Living, Owner, changed, has_seen};
use super::{Member, Selection};

/// Label in which a pod bears the revision that it was made from (k8s.io/api/apps/v1, `ControllerRevisionHashLabelKey`).
pub const REVISION_LABEL: &str = "controller-revision-hash";
/// Label with the name of a StatefulSet's pod (`StatefulSetPodNameLabel`).
pub const POD_NAME_LABEL: &str = "statefulset.kubernetes.io/pod-name";
/// Label with its ordinal (`PodIndexLabel`).
pub const POD_INDEX_LABEL: &str = "apps.kubernetes.io/pod-index";

/// The ordinal in the name of a pod of that set; `None` for a name that is no member's.
pub fn ordinal(set: &str, pod: &str) -> Option<i32> {
    let number = pod.strip_prefix(set)?.strip_prefix('-')?;
    if !number.chars().all(|letter| letter.is_ascii_digit()) {
        return None;
    }
    number.parse().ok()
}

impl Owner {
    /// A StatefulSet, if it is the one with that UID, as far as that member is concerned: it ends for a pod that a scale-down or a
    /// new revision takes. One that lets its pods go (`--cascade=orphan`) is not complete.
    pub fn of_stateful_set(object: &StatefulSet, uid: &str, member: &Member) -> Self {
        let living = Self::of(&object.metadata, uid, || Living {
            selection: Selection::of(&object.spec.selector),
            is_complete: true,
            not_ready: 0,
            changed: changed(&object.metadata),
            managed_by: None,
        });
        match (living, takes(object, member)) {
            (Self::Lives(living), Some(why)) if living.is_complete => Self::Ends(why),
            (living, _) => living,
        }
    }
}

/// Why the set would take the pod away, as the end of a sentence that begins with the set's name.
fn takes(set: &StatefulSet, member: &Member) -> Option<String> {
    let spec = &set.spec;
    let name = set.metadata.name.as_deref().unwrap_or_default();
    let Some(ordinal) = ordinal(name, &member.name) else {
        return Some(format!("has no pod of the name {}", member.name));
    };
    let start = spec
        .ordinals
        .as_ref()
        .and_then(|ordinals| ordinals.start)
        .unwrap_or(0);
    let replicas = spec.replicas.unwrap_or(1);
    if ordinal < start || ordinal >= start.saturating_add(replicas) {
        return Some(format!("is scaled to {replicas}, without {}", member.name));
    }
    let status = set.status.clone().unwrap_or_default();
    // What the controller has not looked at yet has no revision yet; a later look sees it.
    if !has_seen(&set.metadata, status.observed_generation) {
        return None;
    }
    let strategy = spec.update_strategy.clone().unwrap_or_default();
    if strategy.type_.as_deref() == Some("OnDelete") {
        return None;
    }
    // By its place in the set (`stateful_set_control.go`, `updateStatefulSet`: `updateMin`).
    let partition = strategy
        .rolling_update
        .and_then(|rolling| rolling.partition)
        .unwrap_or(0);
    let is_new = match (status.update_revision.as_deref(), member.revision()) {
        (Some(wanted), Some(own)) => !wanted.is_empty() && wanted != own,
        _ => false,
    };
    (is_new && ordinal - start >= partition)
        .then(|| format!("has a new revision, which replaces {}", member.name))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn set(change: impl FnOnce(&mut Value)) -> Owner {
        let mut object = json!({
            "metadata": {"name": "redis", "uid": "u", "generation": 4},
            "spec": {"replicas": 3, "serviceName": "redis", "selector": {"matchLabels": {"app": "redis"}}, "template": {}},
            "status": {"observedGeneration": 4, "replicas": 3, "updateRevision": "redis-a", "currentRevision": "redis-a"},
        });
        change(&mut object);
        let member = Member {
            name: "redis-1".to_owned(),
            labels: [(REVISION_LABEL.to_owned(), "redis-a".to_owned())].into(),
            ..Member::default()
        };
        Owner::of_stateful_set(&serde_json::from_value(object).unwrap(), "u", &member)
    }

    fn ends(owner: Owner) -> Option<String> {
        match owner {
            Owner::Ends(why) => Some(why),
            Owner::Lives(_) => None,
        }
    }

    #[test]
    fn only_a_number_behind_the_sets_name_makes_a_member() {
        assert_eq!(ordinal("redis", "redis-12"), Some(12));
        for pod in [
            "redis-0-bcdfg",
            "redis-0-24567",
            "redis-",
            "redis",
            "redis0",
            "web-0",
            "redis-+1",
            "redis-99999999999",
        ] {
            assert_eq!(ordinal("redis", pod), None, "{pod}");
        }
    }

    #[test]
    fn a_pod_is_wanted_while_its_ordinal_and_its_revision_are() {
        assert_eq!(ends(set(|_| {})), None);
        assert_eq!(ends(set(|set| set["spec"]["replicas"] = json!(2))), None);
        let scaled = ends(set(|set| set["spec"]["replicas"] = json!(1))).unwrap();
        assert!(scaled.contains("scaled to 1"), "{scaled}");
        let begins_later = ends(set(|set| set["spec"]["ordinals"] = json!({"start": 2})));
        assert!(begins_later.is_some());
        let revised = |set: &mut Value| set["status"]["updateRevision"] = json!("redis-b");
        assert!(ends(set(revised)).unwrap().contains("new revision"));
        for (strategy, takes_it) in [
            (json!({"type": "OnDelete"}), false),
            (
                json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}),
                false,
            ),
            (
                json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}),
                true,
            ),
        ] {
            let owner = set(|set| {
                revised(set);
                set["spec"]["updateStrategy"] = strategy.clone();
            });
            assert_eq!(ends(owner).is_some(), takes_it, "{strategy}");
        }
        // A generation that the controller has not seen has no revision yet.
        let unseen = set(|set| {
            revised(set);
            set["metadata"]["generation"] = json!(5);
        });
        assert_eq!(ends(unseen), None);
    }

    #[test]
    fn one_that_is_deleted_ends_unless_it_lets_its_pods_go() {
        let deleted = |set: &mut Value| set["metadata"]["deletionTimestamp"] = json!("2027-01-15T08:00:00Z");
        assert!(ends(set(deleted)).is_some());
        let orphans = set(|set| {
            deleted(set);
            set["metadata"]["finalizers"] = json!(["orphan"]);
            set["spec"]["replicas"] = json!(0);
        });
        assert!(matches!(orphans, Owner::Lives(living) if !living.is_complete));
    }
}
