//! Whose a pod is.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;

/// Kinds of owners that are treated differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `apps` ReplicaSet, of a Deployment or of its own.
    ReplicaSet,
    /// The same of old.
    ReplicationController,
    /// `batch` Job, plain or indexed.
    Job,
    /// `apps` StatefulSet.
    StatefulSet,
    /// `apps` DaemonSet.
    DaemonSet,
    /// A Node owns the mirrors of its static pods.
    Node,
    /// Anything else; also an owner that does not control the pod.
    Other,
}

impl Kind {
    /// Of that reference. A reference that does not control is of no kind that is known: its object only takes the pod
    /// along when it goes.
    pub fn of(reference: &OwnerReference) -> Self {
        let group = reference
            .api_version
            .split_once('/')
            .map_or("", |(group, _)| group);
        if reference.controller != Some(true) {
            return Self::Other;
        }
        match (group, reference.kind.as_str()) {
            ("apps", "ReplicaSet") => Self::ReplicaSet,
            ("", "ReplicationController") => Self::ReplicationController,
            ("batch", "Job") => Self::Job,
            ("apps", "StatefulSet") => Self::StatefulSet,
            ("apps", "DaemonSet") => Self::DaemonSet,
            ("", "Node") => Self::Node,
            _ => Self::Other,
        }
    }

    /// True for owners that want a number of pods and rank them by deletion cost. A ReplicationController is run by the code
    /// of the ReplicaSet (kubernetes `pkg/controller/replication`).
    pub fn counts_replicas(self) -> bool {
        matches!(self, Self::ReplicaSet | Self::ReplicationController)
    }
}

/// The reference that says whose the pod is: the one that controls it, else the first.
pub fn reference(pod: &Pod) -> Option<&OwnerReference> {
    let references = pod.owner_references();
    references
        .iter()
        .find(|reference| reference.controller == Some(true))
        .or_else(|| references.first())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(api_version: &str, kind: &str, controller: Option<bool>) -> Kind {
        Kind::of(&OwnerReference {
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            controller,
            ..OwnerReference::default()
        })
    }

    #[test]
    fn a_kind_is_known_by_its_group_and_only_if_it_controls() {
        assert_eq!(of("apps/v1", "ReplicaSet", Some(true)), Kind::ReplicaSet);
        assert_eq!(
            of("v1", "ReplicationController", Some(true)),
            Kind::ReplicationController
        );
        assert_eq!(of("batch/v1", "Job", Some(true)), Kind::Job);
        assert_eq!(of("v1", "Node", Some(true)), Kind::Node);
        for (version, kind, controller) in [
            ("apps/v1", "ReplicaSet", None),
            ("example.com/v1", "ReplicaSet", Some(true)),
            ("batch.volcano.sh/v1alpha1", "Job", Some(true)),
            ("v1", "ConfigMap", None),
        ] {
            assert_eq!(of(version, kind, controller), Kind::Other, "{version} {kind}");
        }
    }
}
