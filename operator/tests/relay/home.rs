//! The leg home, and what keeps it from being made.

use godwit_crds::{Leg, MigrationPhase};
use godwit_operator::decide::Action;
use kube::ResourceExt;

use crate::support::{at, node, stays, to_node};
use crate::world::{World, ends, lets_go, member};

#[test]
fn it_comes_home_and_the_guard_goes_when_that_is_decided() {
    let mut world = World::in_stand_in();
    // The object of the source is on its way out: nothing can have its name yet.
    world.observed.source = Some(member());
    world.looks(2);
    assert_eq!(world.last().0, Leg::Away);
    world.observed.source = None;
    world.looks(2);
    assert_eq!(world.leg().spec.target, to_node("n2"));
    world.look();
    world.leg_is("Copying", "TargetParked");
    world.home_is_made();
    world.look();
    assert!(world.is_guarded());
    assert_eq!(world.phase(), MigrationPhase::Switching);
    world.leg_is("Finishing", "Committed");
    world.looks(2);
    assert!(!world.is_guarded());
    assert_eq!(world.phase(), MigrationPhase::Finishing);
    world.leg_is("Succeeded", "Migrated");
    world.looks(2);
    assert_eq!(
        (world.phase(), world.reason().as_str()),
        (MigrationPhase::Succeeded, "Migrated")
    );
    let status = world.status();
    assert_eq!(status.timings.unwrap().freeze.unwrap().total, "200ms");
    assert_eq!(status.plan.unwrap().target_node.as_deref(), Some("n2"));
    assert_eq!(world.observed.migration.metadata.finalizers, None);
}

#[test]
fn a_pod_of_somebody_else_is_removed_by_its_uid_before_the_leg() {
    let mut world = World::in_stand_in();
    let mut foreign = member();
    foreign.metadata.uid = Some("foreign".to_owned());
    world.observed.source = Some(foreign.clone());
    world.look();
    assert!(matches!(world.did.last().unwrap(), Action::ClearName { uid, .. } if uid == "foreign"));
    assert_eq!(world.reason(), "NameTaken");
    assert!(
        world
            .announced
            .iter()
            .any(|event| event.warning && event.reason == "NameTaken")
    );
    world.look();
    assert_eq!(world.last().0, Leg::Home);
    // It came in the moment before the leg.
    foreign.metadata.uid = Some("another".to_owned());
    world.observed.source = Some(foreign.clone());
    world.look();
    assert!(matches!(world.did.last().unwrap(), Action::ClearName { uid, .. } if uid == "another"));
    // One that is being removed already is waited for.
    foreign.metadata.deletion_timestamp = Some(at(9).into());
    world.observed.source = Some(foreign);
    let did = world.did.len();
    world.look();
    assert_eq!(world.did.len(), did);
}

#[test]
fn a_leg_home_that_fails_is_tried_again_after_a_pause() {
    let mut world = World::coming_home();
    let first = world.leg().name_any();
    world.leg_is("Failed", "RestoreFailed");
    world.look();
    assert_eq!(
        world.last(),
        (Leg::Home, Some("leg-2".to_owned())),
        "without a pause"
    );
    world.seconds(3);
    world.looks(3);
    assert_eq!(world.last(), (Leg::Home, Some("leg-3".to_owned())));
    assert_ne!(world.leg().name_any(), first);
    assert!(world.is_guarded());
    world.leg_is("Succeeded", "Migrated");
    world.observed.target = None;
    world.looks(3);
    assert_eq!(world.phase(), MigrationPhase::Succeeded);
}

#[test]
fn the_pod_of_a_failed_leg_is_waited_for_and_not_taken_for_a_strangers() {
    let mut world = World::coming_home();
    world.home_is_made();
    world.leg_is("Failed", "RestoreFailed");
    world.seconds(3);
    world.looks(2);
    assert_eq!(world.last(), (Leg::Home, Some("leg-2".to_owned())));
    world.observed.source = None;
    world.look();
    assert_eq!(world.last(), (Leg::Home, None));
}

#[test]
fn what_was_asked_for_too_late_is_finished_first() {
    let mut world = World::in_stand_in();
    world.observed.migration.spec.cancel = true;
    world.looks(3);
    assert_eq!(world.last(), (Leg::Home, Some("leg-2".to_owned())));
    world.leg_is("Copying", "TargetParked");
    world.look();
    assert!(!world.leg().spec.cancel);
}

#[test]
fn a_stateful_set_that_wants_the_pod_no_more_wins_on_the_way_home() {
    for under_way in [false, true] {
        let mut world = if under_way {
            World::coming_home()
        } else {
            World::in_stand_in()
        };
        world.observed.owner = ends();
        if under_way {
            world.look();
            assert!(world.leg().spec.cancel);
            assert!(
                !world
                    .did
                    .iter()
                    .any(|it| matches!(it, Action::RetireTarget { .. }))
            );
            world.leg_is("Failed", "Cancelled");
        }
        world.looks(2);
        assert!(matches!(world.did.last().unwrap(), Action::RetireTarget { .. }));
        // Until it is gone nobody makes the pod.
        world.looks(3);
        assert!(world.is_guarded());
        assert_eq!(world.phase(), MigrationPhase::Switching);
        world.observed.target = None;
        world.observed.owner = None;
        world.look();
        assert_eq!(
            (world.phase(), world.reason().as_str()),
            (MigrationPhase::Failed, "OwnerWins")
        );
        assert!(world.status().message.unwrap().contains("scaled to 0"));
        world.looks(2);
        assert!(!world.is_guarded());
    }
}

#[test]
fn a_stateful_set_that_lets_its_pods_go_leaves_the_stand_in_alone() {
    let mut world = World::in_stand_in();
    world.observed.owner = lets_go();
    world.look();
    assert_eq!(world.reason(), "OwnerLetGo");
    world.looks(2);
    assert!(!world.is_guarded());
    assert!(stays(world.observed.target.as_ref()));
}

#[test]
fn a_stand_in_that_is_lost_is_the_end_and_the_stateful_set_goes_on() {
    type Loss = fn(&mut World);
    let losses: [Loss; 3] = [
        |world| world.observed.target = None,
        |world| world.observed.nodes.retain(|node| node.name_any() != "n2"),
        |world| {
            let tainted = node("n2", |node| {
                node["spec"]["taints"] = serde_json::json!([
                    {"key": "node.kubernetes.io/out-of-service", "effect": "NoExecute"}
                ]);
            });
            world.observed.nodes = vec![tainted];
        },
    ];
    for loss in losses {
        for under_way in [false, true] {
            let mut world = if under_way {
                World::coming_home()
            } else {
                World::in_stand_in()
            };
            loss(&mut world);
            if under_way {
                world.leg_is("Failed", "SourceNodeLost");
            }
            world.look();
            assert_eq!(
                (world.phase(), world.reason().as_str()),
                (MigrationPhase::Failed, "StandInGone")
            );
            world.observed.target = None;
            world.looks(2);
            assert!(!world.is_guarded());
        }
    }
}

#[test]
fn a_node_that_only_does_not_answer_is_waited_for() {
    let mut world = World::in_stand_in();
    let away = node("n2", |node| {
        node["status"]["conditions"] = serde_json::json!([]);
    });
    world.observed.nodes = vec![away];
    world.looks(3);
    assert_eq!(world.last().0, Leg::Home);
    assert!(world.is_guarded());
}

#[test]
fn a_leg_home_whose_object_was_deleted_is_judged_by_the_pods() {
    let mut world = World::coming_home();
    world.home_is_made();
    let home = world.observed.source.as_mut().unwrap();
    home.annotations_mut()
        .insert("godwit.dev/completed".to_owned(), "true".to_owned());
    world.observed.target = None;
    world.observed.relay.leg = None;
    world.looks(3);
    assert_eq!(world.phase(), MigrationPhase::Succeeded);
    let mut world = World::coming_home();
    world.observed.relay.leg = None;
    world.looks(3);
    assert_eq!(world.last(), (Leg::Home, Some("leg-3".to_owned())));
}
