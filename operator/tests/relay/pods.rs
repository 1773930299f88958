//! What preflight says of legs, and the pods that they make.

use godwit_crds::{MIGRATION_LABEL, MigrationPhase, PodMigration, SourceState};
use godwit_operator::decide::{Action, decide};
use godwit_operator::facts::Observed;
use godwit_operator::owner::{Member, Withheld};
use godwit_operator::relay::{self, Role, Task};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use crate::support::{at, node, source_says, to_node, unasked};
use crate::world::{World, ends, keeps, member};

fn leg(leg: godwit_crds::Leg, source: Pod, to: &str) -> Observed {
    let mut observed = Observed {
        source: Some(source),
        owner: keeps(),
        role: Role::Leg {
            leg,
            parent: "parent".to_owned(),
        },
        nodes: vec![node("n1", |_| {}), node("n2", |_| {})],
        ..unasked()
    };
    observed.migration.spec.target = to_node(to);
    observed
}

fn stand_in() -> Pod {
    World::in_stand_in().observed.target.unwrap()
}

/// The pod that a leg creates after its preflight.
fn made(mut observed: Observed) -> Pod {
    let asked = decide(&observed, at(4));
    observed.migration.status = Some(asked.status);
    let status = observed.migration.status.get_or_insert_default();
    status.source = Some(source_says(SourceState::Looked));
    let checked = decide(&observed, at(5));
    assert_eq!(
        checked.status.phase,
        MigrationPhase::Preparing,
        "{:?}",
        checked.status.message
    );
    assert!(checked.status.legs.is_empty(), "a leg has no legs");
    let planned = checked.status.plan.clone().unwrap().target_pod_name;
    observed.migration.status = Some(checked.status);
    let decision = decide(&observed, at(6));
    let Some(Action::CreateTarget(pod)) = decision.actions.first() else {
        panic!("{:?}", decision.actions);
    };
    assert_eq!(pod.metadata.name, planned);
    (**pod).clone()
}

#[test]
fn a_stand_in_is_nobodys_and_known_by_its_hostname() {
    let pod = made(leg(godwit_crds::Leg::Away, member(), "n2"));
    assert!(pod.name_any().starts_with("redis-0-"));
    assert!(pod.owner_references().is_empty());
    let labels = pod.labels();
    for key in [
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "app",
    ] {
        assert!(!labels.contains_key(key), "{key}");
    }
    assert_eq!(labels["team"], "a");
    assert_eq!(labels["godwit.dev/stands-in-for"], "redis-0");
    let withheld = Withheld::from(&pod).unwrap();
    assert_eq!(
        withheld.labels.into_iter().collect::<Vec<_>>(),
        [
            ("app".to_owned(), "redis".to_owned()),
            (
                "statefulset.kubernetes.io/pod-name".to_owned(),
                "redis-0".to_owned()
            )
        ]
    );
    assert!(withheld.references.is_empty());
    let spec = pod.spec.as_ref().unwrap();
    assert_eq!(
        (spec.hostname.as_deref(), spec.subdomain.as_deref()),
        (Some("redis-0"), Some("redis"))
    );
    assert_eq!(Member::from(&pod), Member::of(&member()));
}

#[test]
fn the_pod_that_comes_home_is_the_sets_from_the_beginning() {
    // On the node of its source, where no other migration leads.
    let pod = made(leg(godwit_crds::Leg::Home, stand_in(), "n2"));
    assert_eq!(pod.name_any(), "redis-0");
    assert_eq!(pod.owner_references(), member().owner_references());
    let mut labels = pod.labels().clone();
    assert!(labels.remove(MIGRATION_LABEL).is_some());
    assert_eq!(&labels, member().labels());
    let own = pod.annotations();
    assert!(!own.contains_key("godwit.dev/stand-in") && !own.contains_key("godwit.dev/withheld"));
    assert!(!own.contains_key("godwit.dev/completed"));
    assert_eq!(pod.spec.unwrap().hostname.as_deref(), Some("redis-0"));
    // It is the set's again, and moves again.
    assert!(Member::of(&member()).is_some());
}

#[test]
fn a_leg_home_without_a_stand_in_is_refused() {
    let observed = leg(godwit_crds::Leg::Home, member(), "n2");
    assert_eq!(Task::of(&observed.role, &member()), Task::Lost);
    let decision = decide(&observed, at(5));
    assert_eq!(decision.status.reason.as_deref(), Some("NoStandIn"));
}

#[test]
fn a_stand_in_whose_set_wants_it_no_more_is_refused() {
    let mut observed = leg(godwit_crds::Leg::Home, stand_in(), "n2");
    observed.owner = ends();
    assert_eq!(
        decide(&observed, at(5)).status.reason.as_deref(),
        Some("OwnerGone")
    );
}

#[test]
fn only_a_pod_that_comes_home_may_stay_on_its_node() {
    let away = leg(godwit_crds::Leg::Away, member(), "n1");
    assert_eq!(
        decide(&away, at(5)).status.reason.as_deref(),
        Some("TargetIsSource")
    );
}

#[test]
fn a_leg_goes_beside_its_parent_and_no_other_migration() {
    let mut observed = leg(godwit_crds::Leg::Away, member(), "n2");
    let other = |uid: &str, phase: &str, created: i64| -> PodMigration {
        let mut other = observed.migration.clone();
        other.metadata.uid = Some(uid.to_owned());
        other.metadata.name = Some(uid.to_owned());
        other.metadata.creation_timestamp = Some(at(created).into());
        other.status = Some(serde_json::from_value(json!({"phase": phase})).unwrap());
        other
    };
    let parent = other("parent", "Preparing", -9);
    let rival_that_waits = other("rival", "Pending", -5);
    let rival_under_way = other("rival", "Copying", -5);
    observed.others = vec![parent.clone(), rival_that_waits];
    let decided = decide(&observed, at(5)).status;
    assert_eq!(decided.reason.as_deref(), Some("AgentAsked"));
    observed.others = vec![parent, rival_under_way];
    assert_eq!(
        decide(&observed, at(5)).status.reason.as_deref(),
        Some("AnotherMigrationOfPod")
    );
}

#[test]
fn who_says_to_be_a_leg_and_is_none_does_not_begin() {
    let mut observed = leg(godwit_crds::Leg::Away, member(), "n2");
    observed.migration.status = None;
    observed.role = Role::Unlisted;
    let decision = decide(&observed, at(5));
    assert_eq!(decision.status.phase, MigrationPhase::Pending);
    assert!(decision.look_again.is_some() && decision.actions.is_empty());
    observed.role = Role::Refused("PodMigration move has no such leg".to_owned());
    for phase in ["Pending", "Preflight"] {
        observed.migration.status = Some(serde_json::from_value(json!({"phase": phase})).unwrap());
        let decision = decide(&observed, at(5));
        assert_eq!(
            (decision.status.phase, decision.status.reason.as_deref()),
            (MigrationPhase::Failed, Some("LegUnknown"))
        );
    }
}

#[test]
fn a_stand_in_is_told_by_its_note() {
    assert!(relay::is_stand_in(&stand_in()));
    assert!(!relay::is_stand_in(&member()));
}
