//! What makes a pod the member of a StatefulSet that it is. While its workload runs in a stand-in, it is kept in an annotation
//! of that, so that whoever looks next can make the pod again, also when the migration's object is gone.

use std::collections::BTreeMap;

use godwit_crds::{MIGRATION_LABEL, PodMigration, STAND_IN_ANNOTATION, STAND_IN_LABEL};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

use super::stateful::{POD_INDEX_LABEL, POD_NAME_LABEL, REVISION_LABEL};
use super::withheld::withhold;
use super::{Kind, Owner, Withheld, reference};
use crate::target_pod;

/// A pod of a StatefulSet, as far as its set cares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// The pod's name.
    pub name: String,
    /// As it had them, all of them.
    #[serde(default)]
    pub references: Vec<OwnerReference>,
    /// As it had them, but for Godwit's own.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Member {
    /// Of a pod that a StatefulSet controls; `None` for any other.
    pub fn of(pod: &Pod) -> Option<Self> {
        if Kind::of(reference(pod)?) != Kind::StatefulSet {
            return None;
        }
        let labels = pod.labels().iter();
        Some(Self {
            name: pod.name_any(),
            references: pod.owner_references().to_vec(),
            labels: labels
                .filter(|(key, _)| ![MIGRATION_LABEL, STAND_IN_LABEL].contains(&key.as_str()))
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
        })
    }

    /// Of that stand-in; `None` for a pod that is none, or whose annotation cannot be read.
    pub fn from(stand_in: &Pod) -> Option<Self> {
        serde_json::from_str(stand_in.annotations().get(STAND_IN_ANNOTATION)?).ok()
    }

    /// Whose workload the pod is: its own, or as a stand-in another one's.
    pub fn meant_by(pod: &Pod) -> Option<Self> {
        Self::from(pod).or_else(|| Self::of(pod))
    }

    /// The reference to the set.
    pub fn reference(&self) -> Option<&OwnerReference> {
        let mut references = self.references.iter();
        references.find(|reference| reference.controller == Some(true))
    }

    /// The set in words.
    pub fn owner(&self) -> String {
        self.reference().map_or_else(
            || "the StatefulSet".to_owned(),
            |reference| format!("{} {}", reference.kind, reference.name),
        )
    }

    /// The revision of the set that the pod was made from.
    pub fn revision(&self) -> Option<&str> {
        self.labels.get(REVISION_LABEL).map(String::as_str)
    }
}

/// The stand-in that a leg away makes for this source: its labels but for its index, nobody's, and until it is
/// Ready without those by which its set and Services select.
pub fn stand_in_for(source: &Pod, member: &Member, migration: &PodMigration, owner: Option<&Owner>) -> Pod {
    let mut pod = target_pod::build(source, migration);
    let labels = pod.metadata.labels.get_or_insert_default();
    labels.remove(POD_INDEX_LABEL);
    let mut hidden: BTreeMap<String, String> = match owner {
        Some(Owner::Lives(living)) => living.selection.withheld(labels),
        _ => labels
            .iter()
            .filter(|(key, _)| *key != MIGRATION_LABEL)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
    };
    // The set goes by names; but Services select one pod by this label, and are to find the workload where it is.
    if let Some(name) = labels.get(POD_NAME_LABEL) {
        hidden.insert(POD_NAME_LABEL.to_owned(), name.clone());
    }
    let withheld = Withheld {
        labels: hidden,
        ..Withheld::default()
    };
    withhold(&mut pod, Some(&withheld));
    pod.labels_mut()
        .insert(STAND_IN_LABEL.to_owned(), member.name.clone());
    if let Ok(json) = serde_json::to_string(member) {
        pod.annotations_mut().insert(STAND_IN_ANNOTATION.to_owned(), json);
    }
    pod
}

/// The pod that a leg home makes from this stand-in: with the name, and from the beginning its set's. Without that the set would
/// try to make the name itself; it deletes no pod of its own for not being ready.
pub fn home_of(stand_in: &Pod, member: &Member, migration: &PodMigration) -> Pod {
    let mut pod = target_pod::build(stand_in, migration);
    pod.metadata.name = Some(member.name.clone());
    pod.metadata.owner_references = Some(member.references.clone());
    let mut labels = member.labels.clone();
    labels.insert(MIGRATION_LABEL.to_owned(), migration.name_any());
    pod.metadata.labels = Some(labels);
    withhold(&mut pod, None);
    pod.annotations_mut().remove(STAND_IN_ANNOTATION);
    pod
}
