//! Pods with owners: who gets what when, and who wins.

use godwit_crds::{ConditionType, MigrationPhase, SourceState, condition};
use godwit_operator::decide::{Action, adoption_refused, decide};
use godwit_operator::owner::{Withheld, is_costed};
use kube::ResourceExt;
use proptest::prelude::*;
use serde_json::json;

use crate::happening::{Happening, happening};
use crate::owned::{owner, owner_deletes_one, settled, world};
use crate::support::source_says;
use crate::world::{World, until_from};

const KINDS: [&str; 4] = ["ReplicaSet", "ReplicationController", "Job", "Machine"];
const COUNTING: [&str; 2] = ["ReplicaSet", "ReplicationController"];

/// Committed, both agents done, the target marked and running: the next look is the adoption, if nothing keeps it.
fn about_to_adopt(kind: &str) -> World {
    let mut world = until_from(world(kind), MigrationPhase::Finishing);
    world.look();
    for happening in [Happening::TargetAgentSteps, Happening::SourceAgentSteps] {
        world.happen(happening);
        world.happen(happening);
    }
    assert_eq!(world.observed.source_state(), Some(SourceState::Released));
    world
}

fn actions(world: &World) -> Vec<&'static str> {
    let decision = decide(&world.observed, world.now);
    decision.actions.iter().map(name).collect()
}

fn name(action: &Action) -> &'static str {
    match action {
        Action::CostSource { .. } => "cost",
        Action::ReleaseSource { .. } => "release",
        Action::AdoptTarget { .. } => "adopt",
        Action::RetireTarget { .. } => "retire",
        Action::DeleteSource { grace: 0, .. } => "remove source",
        Action::DeleteSource { .. } => "delete source",
        _ => "other",
    }
}

fn unready(pod: &mut Option<k8s_openapi::api::core::v1::Pod>) {
    let status = pod.as_mut().unwrap().status.as_mut().unwrap();
    status.conditions = serde_json::from_value(json!([{"type": "Ready", "status": "False"}])).unwrap();
}

fn is_adopted(world: &World) -> bool {
    let target = world.observed.own_target().unwrap();
    Withheld::from(target).is_none() && target.owner_references().len() == 1
}

#[test]
fn a_target_has_nothing_of_its_owners_until_it_is_adopted_and_everything_then() {
    for kind in KINDS {
        let mut world = until_from(world(kind), MigrationPhase::Copying);
        let target = world.observed.own_target().unwrap();
        assert!(target.owner_references().is_empty() && target.finalizers().is_empty());
        let keeps = ["app", "pod-template-hash", "team"].map(|key| target.labels().contains_key(key));
        // Of an unknown owner nobody knows by which labels it selects.
        let wanted = if kind == "Machine" {
            [false; 3]
        } else {
            [false, false, true]
        };
        assert_eq!(keeps, wanted, "{kind}");
        let source = world.observed.source.clone().unwrap();
        world.settle();
        assert_eq!(world.status().reason.as_deref(), Some("Migrated"), "{kind}");
        let target = world.observed.own_target().unwrap();
        assert_eq!(target.owner_references(), source.owner_references(), "{kind}");
        assert_eq!(target.finalizers(), source.finalizers(), "{kind}");
        for (key, value) in source.labels() {
            assert_eq!(target.labels().get(key), Some(value), "{kind}");
        }
        assert!(!is_costed(target));
        let adopted = condition(&world.status().conditions, ConditionType::Adopted)
            .cloned()
            .unwrap();
        assert_eq!(
            (adopted.status.as_str(), adopted.reason.as_str()),
            ("True", "Adopted")
        );
    }
}

#[test]
fn the_order_is_the_one_in_which_the_owner_loses_the_source() {
    for (kind, order) in [
        ("ReplicaSet", vec!["cost", "adopt", "delete source"]),
        ("ReplicationController", vec!["cost", "adopt", "delete source"]),
        ("Job", vec!["release", "adopt"]),
        ("Machine", vec!["adopt"]),
    ] {
        let world = about_to_adopt(kind);
        assert_eq!(actions(&world), order, "{kind}");
    }
}

#[test]
fn godwit_deletes_what_is_one_too_many_before_its_owner_does() {
    for kind in COUNTING {
        let mut world = about_to_adopt(kind);
        world.look();
        assert!(is_adopted(&world));
        assert_eq!(owner_deletes_one(&mut world), None, "nothing is one too many");
        assert_eq!(actions(&world), Vec::<&str>::new());
        // The owner was faster after all: its grace is that of the pod's processes.
        let source = world.observed.source.as_mut().unwrap();
        source.metadata.deletion_grace_period_seconds = Some(30);
        assert_eq!(actions(&world), ["delete source"], "with a shorter grace");
        world.settle();
        assert_eq!(world.status().reason.as_deref(), Some("Migrated"));
    }
}

#[test]
fn an_operator_that_dies_after_the_adoption_leaves_the_source_to_its_owner_for_ten_seconds() {
    let mut world = about_to_adopt("ReplicaSet");
    world.look();
    let source = &mut world.observed.source.as_mut().unwrap().metadata;
    (source.deletion_timestamp, source.deletion_grace_period_seconds) = (None, None);
    world.happen(Happening::Seconds(9));
    assert_eq!(actions(&world), Vec::<&str>::new());
    world.happen(Happening::Seconds(2));
    assert_eq!(actions(&world), ["delete source"]);
}

#[test]
fn a_crash_between_two_patches_is_gone_on_from() {
    // The cost was put, the adoption was not.
    let mut costed = about_to_adopt("ReplicaSet");
    let decision = decide(&costed.observed, costed.now);
    costed.apply(&decision.actions[0]);
    assert_eq!(actions(&costed), ["adopt", "delete source"]);
    // The Job's pod was released, the adoption was not made; the Job may have made another pod meanwhile.
    let mut released = about_to_adopt("Job");
    let decision = decide(&released.observed, released.now);
    released.apply(&decision.actions[0]);
    assert_eq!(actions(&released), ["adopt"]);
    // The same when the source is gone by then.
    released.observed.source = None;
    assert_eq!(actions(&released), ["adopt"]);
    // All was done, but the status was not stored.
    for kind in KINDS {
        let mut world = about_to_adopt(kind);
        for action in decide(&world.observed, world.now).actions {
            world.apply(&action);
        }
        assert!(!actions(&world).contains(&"adopt"), "{kind} twice");
        world.look();
        assert!(condition(&world.status().conditions, ConditionType::Adopted).is_some());
        world.settle();
        assert!(is_adopted(&world));
    }
}

#[test]
fn a_replica_set_that_is_not_at_rest_is_waited_for_and_not_for_ever() {
    for kind in COUNTING {
        let mut world = about_to_adopt(kind);
        for status in [
            json!({"observedGeneration": 0, "replicas": 3, "readyReplicas": 3}),
            json!({"observedGeneration": 1, "replicas": 4, "readyReplicas": 4}),
            json!({"observedGeneration": 1, "replicas": 3, "readyReplicas": 2}),
        ] {
            world.observed.owner = owner(kind, &json!({}), &status);
            world.look();
            assert!(!is_adopted(&world), "{status}");
            assert_eq!(world.status().reason.as_deref(), Some("WaitingForOwner"));
        }
        let now = world.now;
        world.happen(Happening::Seconds(121));
        assert_eq!(actions(&world), ["cost", "adopt", "delete source"]);
        world.now = now;
        // Where kubelet looks after the frozen source, it would soon start it anew.
        let spec = world.observed.source.as_mut().unwrap().spec.as_mut().unwrap();
        spec.containers[0].liveness_probe =
            serde_json::from_value(json!({"exec": {"command": ["true"]}})).unwrap();
        world.happen(Happening::Seconds(30));
        assert_eq!(actions(&world), ["cost", "adopt", "delete source"]);
    }
}

#[test]
fn the_frozen_source_may_be_the_one_that_is_not_ready() {
    let mut world = about_to_adopt("ReplicaSet");
    let status = json!({"observedGeneration": 1, "replicas": 3, "readyReplicas": 2});
    world.observed.owner = owner("ReplicaSet", &json!({}), &status);
    unready(&mut world.observed.source);
    assert_eq!(actions(&world), ["cost", "adopt", "delete source"]);
}

#[test]
fn a_target_that_is_not_ready_is_not_shown_to_a_replica_set_that_would_delete_it() {
    let mut world = about_to_adopt("ReplicaSet");
    unready(&mut world.observed.target);
    for seconds in [0, 31, 60] {
        world.happen(Happening::Seconds(seconds));
        assert_eq!(actions(&world), Vec::<&str>::new(), "{seconds}");
    }
    world.happen(Happening::Seconds(60));
    // It may make a pod too many, which it deletes first: that one has no node yet.
    assert_eq!(actions(&world), ["delete source", "adopt"]);
    // If the source is not ready either, the cost decides.
    unready(&mut world.observed.source);
    assert_eq!(actions(&world), ["cost", "adopt", "delete source"]);
}

#[test]
fn a_job_is_not_left_without_its_pod_while_it_is_about_to_look() {
    let mut world = about_to_adopt("Job");
    let now = world.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let fields = json!([{"manager": "kubelet", "operation": "Update", "time": now}]);
    let source = world.observed.source.as_mut().unwrap();
    source.metadata.managed_fields = serde_json::from_value(fields.clone()).unwrap();
    assert_eq!(actions(&world), Vec::<&str>::new());
    world.happen(Happening::Seconds(3));
    assert_eq!(actions(&world), ["release", "adopt"]);
    // The same of the Job itself; but not for ever.
    let now = world.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let fields = json!({"managedFields": [{"manager": "m", "operation": "Update", "time": now}]});
    world.observed.owner = owner("Job", &fields, &json!({}));
    assert_eq!(actions(&world), Vec::<&str>::new());
    let later =
        json!({"managedFields": [{"manager": "m", "operation": "Update", "time": "2030-01-01T00:00:00Z"}]});
    world.observed.owner = owner("Job", &later, &json!({}));
    world.happen(Happening::Seconds(15));
    assert_eq!(actions(&world), ["release", "adopt"]);
}

#[test]
fn a_target_that_has_done_its_work_before_it_is_adopted_is_counted_all_the_same() {
    let mut world = about_to_adopt("Job");
    let ended = json!({
        "phase": "Succeeded",
        "containerStatuses": [{"name": "redis", "image": "redis:8", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": 0}}}]
    });
    world.observed.target.as_mut().unwrap().status = Some(serde_json::from_value(ended).unwrap());
    assert_eq!(actions(&world), ["release", "adopt"]);
    world.settle();
    assert!(is_adopted(&world));
    assert_eq!(world.status().reason.as_deref(), Some("Migrated"));
    assert!(world.observed.source.is_none());
}

#[test]
fn a_source_that_its_owner_deletes_before_the_commit_ends_the_migration() {
    use MigrationPhase::{Copying, Preparing, Switching};
    for kind in KINDS {
        for phase in [Preparing, Copying, Switching] {
            let mut world = until_from(world(kind), phase);
            world.happen(Happening::UserDeletesSource);
            world.look();
            if phase != Preparing {
                let called_off = condition(&world.status().conditions, ConditionType::CalledOff).cloned();
                assert_eq!(called_off.unwrap().reason, "SourceGone");
            }
            world.settle();
            assert_eq!(
                (world.status().phase, world.status().reason.as_deref()),
                (MigrationPhase::Failed, Some("SourceGone")),
                "{kind} {phase:?}"
            );
            assert!(world.observed.target.is_none());
        }
    }
}

#[test]
fn what_breaks_at_a_source_that_goes_away_is_not_the_reason() {
    let mut world = until_from(world("ReplicaSet"), MigrationPhase::Copying);
    world.happen(Happening::UserDeletesSource);
    world.look();
    world.set(|status| status.source = Some(source_says(SourceState::RolledBack)));
    world.settle();
    assert_eq!(world.status().reason.as_deref(), Some("SourceGone"));
}

#[test]
fn a_source_that_is_deleted_after_the_commit_has_a_target_in_its_place_at_once() {
    for kind in KINDS {
        let mut world = about_to_adopt(kind);
        world.observed.owner = owner(kind, &json!({}), &json!({"observedGeneration": 0}));
        world.happen(Happening::UserDeletesSource);
        assert_eq!(actions(&world), ["adopt"], "{kind}");
        world.happen(Happening::KubeletRemoves);
        assert_eq!(actions(&world), ["adopt"], "{kind}");
    }
}

#[test]
fn an_owner_that_is_gone_takes_the_target_along() {
    for kind in ["ReplicaSet", "ReplicationController", "Job"] {
        let mut world = about_to_adopt(kind);
        world.observed.owner = owner(
            kind,
            &json!({"deletionTimestamp": "2027-01-15T08:00:00Z"}),
            &settled(),
        );
        assert_eq!(actions(&world), ["retire"]);
        world.look();
        world.settle();
        let status = world.status();
        assert_eq!(
            (status.phase, status.reason.as_deref()),
            (MigrationPhase::Succeeded, Some("OwnerGone")),
            "{kind}"
        );
        assert!(status.message.unwrap().contains("shop is being deleted"));
        assert!(world.observed.target.is_none() && world.observed.source.is_none());
    }
}

#[test]
fn a_source_that_was_orphaned_has_a_target_that_is_nobodys() {
    let mut world = about_to_adopt("ReplicaSet");
    world.observed.owner = owner("ReplicaSet", &json!({"uid": "another"}), &settled());
    world.observed.source.as_mut().unwrap().metadata.owner_references = None;
    assert_eq!(actions(&world), ["adopt"]);
    world.settle();
    let target = world.observed.own_target().unwrap();
    assert!(target.owner_references().is_empty());
    assert_eq!(
        target.labels().get("pod-template-hash").map(String::as_str),
        Some("7d")
    );
}

#[test]
fn an_adoption_that_is_refused_is_tried_again_and_then_given_up() {
    let mut world = about_to_adopt("ReplicaSet");
    let refused = |world: &World| adoption_refused(&world.observed, "policy p says no", world.now);
    let decision = refused(&world);
    assert!(decision.actions.is_empty() && decision.look_again.is_some());
    assert_eq!(decision.status.reason.as_deref(), Some("WaitingForOwner"));
    world.happen(Happening::Seconds(301));
    let decision = refused(&world);
    world.observed.migration.status = Some(decision.status);
    world.settle();
    assert_eq!(world.status().phase, MigrationPhase::Succeeded);
    let adopted = condition(&world.status().conditions, ConditionType::Adopted)
        .cloned()
        .unwrap();
    assert!(adopted.status == "False" && adopted.message.contains("policy p says no"));
    assert!(world.observed.source.is_none() && world.observed.target.is_some());
}

#[test]
fn nothing_of_an_owner_is_touched_when_the_migration_fails() {
    for kind in KINDS {
        let mut world = until_from(world(kind), MigrationPhase::Switching);
        let before = world.observed.source.clone();
        world.happen(Happening::SourceAgentRollsBack);
        world.settle();
        assert_eq!(world.status().phase, MigrationPhase::Failed);
        assert_eq!(world.observed.source, before, "{kind}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_an_owner_never_chooses_the_target(
        kind in prop::sample::select(KINDS.to_vec()),
        gone_at in prop::option::of(0_usize..60),
        happenings in prop::collection::vec(happening(), 0..40),
    ) {
        let mut world = world(kind);
        for (number, happening) in happenings.into_iter().enumerate() {
            if gone_at == Some(number) {
                world.observed.owner = owner(kind, &json!({"uid": "another"}), &settled());
            }
            world.happen(happening);
            world.look();
            let ready = world.observed.target.as_ref()
                .is_some_and(|target| godwit_operator::facts::pod_condition(target, "Ready"));
            if let Some(takes_target) = owner_deletes_one(&mut world) {
                prop_assert!(!takes_target || !ready, "the owner took the target");
            }
        }
        world.settle();
        let status = world.status();
        if status.reason.as_deref() == Some("Migrated")
            && let Some(target) = world.observed.own_target().filter(|target| target.metadata.deletion_timestamp.is_none())
        {
            prop_assert!(Withheld::from(target).is_none(), "over, and not adopted: {status:?}");
        }
    }
}
