//! What a target pod does not have until its owner may count it. It is kept in an annotation of the target, so that
//! whoever looks next can give it back, also when the source is gone.

use std::collections::BTreeMap;

use godwit_crds::{MIGRATION_LABEL, PodMigration, WITHHELD_ANNOTATION};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use super::{JOB_FINALIZER, Kind, Owner, reference};
use crate::target_pod;

/// Labels, references and finalizers that make a pod its owner's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Withheld {
    /// As the source had them, all of them.
    #[serde(default)]
    pub references: Vec<OwnerReference>,
    /// Those by which the owner selects; all of them where nobody knows.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The Job's, by which it sees which pods it has counted.
    #[serde(default)]
    pub finalizers: Vec<String>,
}

impl Withheld {
    /// What a target of this source must not have; `None` for a pod without an owner. `owner` is the owner's object, where its
    /// kind is known.
    pub fn of(source: &Pod, owner: Option<&Owner>) -> Option<Self> {
        let kind = Kind::of(reference(source)?);
        let labels = match owner {
            Some(Owner::Lives(living)) => living.selection.withheld(source.labels()),
            _ => source.labels().clone(),
        };
        let finalizers = source.finalizers().iter();
        Some(Self {
            references: source.owner_references().to_vec(),
            labels: labels
                .into_iter()
                .filter(|(key, _)| key != MIGRATION_LABEL)
                .collect(),
            finalizers: finalizers
                .filter(|finalizer| kind == Kind::Job && *finalizer == JOB_FINALIZER)
                .cloned()
                .collect(),
        })
    }

    /// What is (still) withheld from that pod. An annotation that cannot be read counts as none: nothing could be given back.
    pub fn from(target: &Pod) -> Option<Self> {
        serde_json::from_str(target.annotations().get(WITHHELD_ANNOTATION)?).ok()
    }

    /// Of the owner. It has one, or nothing would have been withheld.
    pub fn kind(&self) -> Kind {
        self.reference().map_or(Kind::Other, Kind::of)
    }

    /// The owner.
    pub fn reference(&self) -> Option<&OwnerReference> {
        let mut references = self.references.iter();
        let controls = references.find(|reference| reference.controller == Some(true));
        controls.or_else(|| self.references.first())
    }

    /// The owner in words.
    pub fn owner(&self) -> String {
        self.reference().map_or_else(
            || "the owner".to_owned(),
            |reference| format!("{} {}", reference.kind, reference.name),
        )
    }

    /// True while the source is the owner's.
    pub fn owns(&self, source: &Pod) -> bool {
        let uid = self.reference().map(|reference| reference.uid.as_str());
        source
            .owner_references()
            .iter()
            .any(|reference| Some(reference.uid.as_str()) == uid)
    }

    /// True when somebody else than Godwit has taken the source out of its owner's hands: it was relabelled, or the owner
    /// was deleted with `--cascade=orphan`. Godwit releases a Job's pod itself, and takes every label of it then.
    pub fn was_let_go(&self, source: &Pod) -> bool {
        let was_released =
            self.kind() == Kind::Job && !self.labels.keys().any(|key| source.labels().contains_key(key));
        !self.owns(source) && !was_released
    }

    /// What to give instead to the target of a source that was let go: what the source has now.
    #[must_use]
    pub fn of_one_let_go(&self, source: &Pod) -> Self {
        let labels = source.labels().iter();
        Self {
            references: source.owner_references().to_vec(),
            labels: labels
                .filter(|(key, _)| self.labels.contains_key(*key))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            finalizers: Vec::new(),
        }
    }
}

/// The target pod of a migration whose source this is, without what must be withheld.
pub fn target_of(source: &Pod, migration: &PodMigration, owner: Option<&Owner>) -> Pod {
    let mut target = target_pod::build(source, migration);
    withhold(&mut target, Withheld::of(source, owner).as_ref());
    target
}

/// Takes from a target pod that is about to be made what must be withheld, and notes it there.
pub(super) fn withhold(target: &mut Pod, withheld: Option<&Withheld>) {
    let annotations = target.metadata.annotations.get_or_insert_default();
    annotations.remove(WITHHELD_ANNOTATION);
    let Some(withheld) = withheld else { return };
    if let Ok(json) = serde_json::to_string(withheld) {
        annotations.insert(WITHHELD_ANNOTATION.to_owned(), json);
    }
    if let Some(labels) = &mut target.metadata.labels {
        labels.retain(|key, _| !withheld.labels.contains_key(key));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(change: impl FnOnce(&mut Value)) -> Pod {
        let mut pod = json!({"metadata": {
            "name": "p", "labels": {"app": "x", "job-name": "j", "godwit.dev/migration": "m"},
            "finalizers": ["batch.kubernetes.io/job-tracking", "example.com/own"],
            "ownerReferences": [
                {"apiVersion": "scheduling.k8s.io/v1", "kind": "PodGroup", "name": "g", "uid": "g"},
                {"apiVersion": "batch/v1", "kind": "Job", "name": "j", "uid": "j", "controller": true, "blockOwnerDeletion": true}
            ]
        }});
        change(&mut pod);
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn what_is_withheld_comes_back_from_the_annotation() {
        let source = pod(|_| {});
        let withheld = Withheld::of(&source, None).unwrap();
        assert_eq!(withheld.kind(), Kind::Job);
        assert_eq!(withheld.owner(), "Job j");
        assert_eq!(withheld.finalizers, [JOB_FINALIZER]);
        assert_eq!(withheld.references.len(), 2);
        let mut target = pod(|_| {});
        withhold(&mut target, Some(&withheld));
        // The migration's own label is no owner's.
        assert_eq!(
            target.labels().keys().collect::<Vec<_>>(),
            ["godwit.dev/migration"]
        );
        assert_eq!(Withheld::from(&target), Some(withheld));
        withhold(&mut target, None);
        assert_eq!(Withheld::from(&target), None);
    }

    #[test]
    fn a_pod_without_an_owner_has_nothing_to_withhold() {
        let bare = pod(|pod| pod["metadata"]["ownerReferences"] = json!([]));
        assert_eq!(Withheld::of(&bare, None), None);
    }

    #[test]
    fn a_source_that_was_let_go_is_told_from_one_that_godwit_has_released() {
        let withheld = Withheld::of(&pod(|_| {}), None).unwrap();
        assert!(!withheld.was_let_go(&pod(|_| {})));
        let orphaned = pod(|pod| pod["metadata"]["ownerReferences"] = json!([]));
        assert!(withheld.was_let_go(&orphaned));
        let given = withheld.of_one_let_go(&orphaned);
        assert!(given.references.is_empty() && given.finalizers.is_empty());
        assert_eq!(given.labels.len(), 2);
        let released = pod(|pod| {
            pod["metadata"]["ownerReferences"] = json!([]);
            pod["metadata"]["labels"] = json!({"team": "a"});
        });
        assert!(!withheld.was_let_go(&released));
    }
}
