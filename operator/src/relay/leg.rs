//! The object of a leg.

use std::time::Duration;

use godwit_crds::{
    LEG_ANNOTATION, LEG_OF_LABEL, Leg, LegReport, MigrationTimeout, PodMigration, PodMigrationSpec,
    TargetSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use super::parent_reference;
use crate::target_pod::suffix;

/// Longest name of a migration: it becomes the value of a label.
const NAME_LIMIT: usize = 63;

/// Name of a leg's migration: always the same for the same parent and attempt, so that a leg is never made twice.
pub fn name(parent: &PodMigration, leg: Leg, attempt: usize) -> String {
    let uid = parent.metadata.uid.as_deref().unwrap_or_default();
    let end = format!("-{}-{}", leg.as_str(), suffix(&format!("{uid}/{attempt}")));
    let stem: String = parent.name_any().chars().take(NAME_LIMIT - end.len()).collect();
    format!("{}{end}", stem.trim_end_matches(['-', '.']))
}

/// The entry in the parent's status of a leg that is to be made; `attempt` is the number of legs before it.
pub fn planned(parent: &PodMigration, leg: Leg, attempt: usize) -> LegReport {
    LegReport {
        leg,
        migration: name(parent, leg, attempt),
        uid: None,
        pod: None,
        freeze: None,
    }
}

/// The leg that moves that pod: as the parent says, but for where to and for how long it may take.
pub fn build(
    parent: &PodMigration,
    report: &LegReport,
    pod: &str,
    target: Option<TargetSpec>,
    limit: Duration,
) -> PodMigration {
    let spec = PodMigrationSpec {
        pod_name: pod.to_owned(),
        target,
        timeout: MigrationTimeout(format!("{}s", limit.as_secs().clamp(1, 99_999))),
        cancel: false,
        ..parent.spec.clone()
    };
    let mut leg = PodMigration::new(&report.migration, spec);
    leg.metadata.namespace = parent.namespace();
    let uid = parent.metadata.uid.clone().unwrap_or_default();
    leg.labels_mut().insert(LEG_OF_LABEL.to_owned(), uid.clone());
    leg.annotations_mut()
        .insert(LEG_ANNOTATION.to_owned(), report.leg.as_str().to_owned());
    leg.metadata.owner_references = Some(vec![OwnerReference {
        api_version: PodMigration::api_version(&()).into_owned(),
        kind: PodMigration::kind(&()).into_owned(),
        name: parent.name_any(),
        uid,
        controller: Some(true),
        block_owner_deletion: None,
    }]);
    leg
}

/// True if the object says that it is a leg of that parent.
pub fn is_leg_of(leg: &PodMigration, parent: &PodMigration) -> bool {
    parent_reference(leg).is_some_and(|reference| Some(&reference.uid) == parent.metadata.uid.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent(name: &str) -> PodMigration {
        let mut parent = PodMigration::new(name, PodMigrationSpec::default());
        parent.metadata.uid = Some("uid".to_owned());
        parent.spec.bandwidth = serde_json::from_str("\"1M\"").unwrap();
        parent.spec.cancel = true;
        parent
    }

    #[test]
    fn names_differ_by_leg_and_attempt_and_fit() {
        let long = parent(&"m".repeat(63));
        let names = [
            name(&long, Leg::Away, 0),
            name(&long, Leg::Home, 1),
            name(&long, Leg::Home, 2),
        ];
        assert!(names.iter().all(|name| name.len() == 63), "{names:?}");
        assert!(names[0] != names[1] && names[1] != names[2]);
        assert_eq!(name(&long, Leg::Home, 1), names[1]);
        assert!(name(&parent("move"), Leg::Home, 1).starts_with("move-home-"));
    }

    #[test]
    fn a_leg_has_what_the_user_asked_for_and_is_not_cancelled_by_it() {
        let parent = parent("move");
        let report = planned(&parent, Leg::Away, 0);
        let leg = build(&parent, &report, "redis-0", None, Duration::from_millis(90_500));
        assert_eq!(leg.spec.bandwidth, parent.spec.bandwidth);
        assert!(!leg.spec.cancel);
        assert_eq!(leg.spec.timeout.0, "90s");
        assert_eq!(leg.spec.pod_name, "redis-0");
        assert!(is_leg_of(&leg, &parent));
    }
}
