//! Whether a migration is a leg of another one. Its own object cannot say so, for anybody could write that: the parent's status
//! has to list it, which is the operator's alone.

use godwit_crds::{GROUP, Leg, PodMigration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

/// What a migration is among others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// A user's own.
    #[default]
    Whole,
    /// A leg of the migration with that UID.
    Leg {
        /// Which.
        leg: Leg,
        /// UID of the parent.
        parent: String,
    },
    /// It says that it is a leg, and its parent is about to say so, too.
    Unlisted,
    /// It says that it is a leg, and is none; why.
    Refused(String),
}

impl Role {
    /// Which leg it is.
    pub fn leg(&self) -> Option<Leg> {
        match self {
            Self::Leg { leg, .. } => Some(*leg),
            Self::Whole | Self::Unlisted | Self::Refused(_) => None,
        }
    }

    /// UID of the migration whose leg it is.
    pub fn parent(&self) -> Option<&str> {
        match self {
            Self::Leg { parent, .. } => Some(parent),
            Self::Whole | Self::Unlisted | Self::Refused(_) => None,
        }
    }
}

/// The reference to the migration that controls this one, if one does.
pub fn parent_reference(migration: &PodMigration) -> Option<&OwnerReference> {
    migration.owner_references().iter().find(|reference| {
        let group = reference.api_version.split('/').next();
        reference.controller == Some(true)
            && group == Some(GROUP)
            && reference.kind == PodMigration::kind(&())
    })
}

/// The role of a migration; `parent` is what has the name in its reference.
pub fn role(migration: &PodMigration, parent: Option<&PodMigration>) -> Role {
    let Some(reference) = parent_reference(migration) else {
        return Role::Whole;
    };
    let name = &reference.name;
    let Some(parent) = parent.filter(|parent| parent.metadata.uid.as_ref() == Some(&reference.uid)) else {
        return Role::Refused(format!("PodMigration {name}, whose leg it says it is, is gone"));
    };
    let status = parent.status.as_ref();
    let legs = status.iter().flat_map(|status| &status.legs);
    for listed in legs {
        if listed.uid.is_some() && listed.uid == migration.metadata.uid {
            return Role::Leg {
                leg: listed.leg,
                parent: reference.uid.clone(),
            };
        }
        if listed.uid.is_none() && listed.migration == migration.name_any() {
            return Role::Unlisted;
        }
    }
    Role::Refused(format!(
        "PodMigration {name} has no such leg; legs are made by the operator alone, leave the owner reference out"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn migration(value: Value) -> PodMigration {
        serde_json::from_value(value).unwrap()
    }

    fn leg(controller: bool) -> PodMigration {
        migration(json!({
            "metadata": {
                "name": "move-away-x", "uid": "leg", "labels": {"godwit.dev/leg-of": "parent"},
                "ownerReferences": [
                    {"apiVersion": "godwit.dev/v1alpha1", "kind": "PodMigration", "name": "move", "uid": "parent", "controller": controller}
                ],
            },
            "spec": {"podName": "redis-0"},
        }))
    }

    fn parent(legs: &Value) -> PodMigration {
        migration(json!({
            "metadata": {"name": "move", "uid": "parent"}, "spec": {"podName": "redis-0"}, "status": {"legs": legs},
        }))
    }

    #[test]
    fn a_leg_is_one_only_if_its_parents_status_says_so() {
        let listed = parent(&json!([{"leg": "Away", "migration": "move-away-x", "uid": "leg"}]));
        assert_eq!(role(&leg(true), Some(&listed)).leg(), Some(Leg::Away));
        assert_eq!(role(&leg(true), Some(&listed)).parent(), Some("parent"));
        let about_to = parent(&json!([{"leg": "Away", "migration": "move-away-x"}]));
        assert_eq!(role(&leg(true), Some(&about_to)), Role::Unlisted);
        for other in [
            parent(&json!([])),
            parent(&json!([{"leg": "Away", "migration": "move-away-x", "uid": "another"}])),
            parent(&json!([{"leg": "Away", "migration": "another"}])),
        ] {
            assert!(matches!(role(&leg(true), Some(&other)), Role::Refused(_)));
        }
        let mut reborn = listed;
        reborn.metadata.uid = Some("younger".to_owned());
        assert!(matches!(role(&leg(true), Some(&reborn)), Role::Refused(_)));
        assert!(matches!(role(&leg(true), None), Role::Refused(_)));
    }

    #[test]
    fn a_label_makes_no_leg() {
        let listed = parent(&json!([{"leg": "Away", "migration": "move-away-x", "uid": "leg"}]));
        assert_eq!(role(&leg(false), Some(&listed)), Role::Whole);
    }
}
