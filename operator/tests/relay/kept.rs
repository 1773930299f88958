//! A workload that does not come home, and the migration that brings it home later.

use godwit_crds::{Leg, MigrationPhase};
use kube::ResourceExt;

use crate::support::{at, to_node};
use crate::world::World;

fn given_up() -> World {
    let mut world = World::coming_home();
    for attempt in 1..=5 {
        assert_eq!(world.phase(), MigrationPhase::Switching, "attempt {attempt}");
        world.leg_is("Failed", "RestoreFailed");
        world.seconds(3);
        world.looks(3);
    }
    world
}

#[test]
fn after_five_attempts_it_stays_in_its_stand_in_under_guard() {
    let mut world = given_up();
    assert_eq!(
        (world.phase(), world.reason().as_str()),
        (MigrationPhase::Failed, "LeftInStandIn")
    );
    let message = world.status().message.unwrap();
    for words in [
        "redis-0-x",
        "podName redis-0",
        "it says RestoreFailed",
        "is deleted",
    ] {
        assert!(message.contains(words), "{message}");
    }
    world.looks(5);
    assert!(world.is_guarded());
    assert!(world.observed.migration.metadata.finalizers.is_some());
    // The user deletes the stand-in, and the migration may go.
    world.observed.target = None;
    world.looks(2);
    assert!(!world.is_guarded());
    assert_eq!(world.observed.migration.metadata.finalizers, None);
}

#[test]
fn past_the_deadline_there_is_no_further_attempt_but_always_a_first() {
    let mut world = World::in_stand_in();
    world.now = at(10_000);
    world.looks(3);
    assert_eq!(world.last(), (Leg::Home, Some("leg-2".to_owned())));
    assert_eq!(world.leg().spec.timeout.0, "60s");
    world.leg_is("Failed", "RestoreFailed");
    world.seconds(3);
    world.look();
    assert_eq!(world.reason(), "LeftInStandIn");
}

/// Another migration, by either name, of what was left.
#[test]
fn another_migration_begins_with_the_stand_in() {
    for (to, goes) in [("n2", "n2"), ("n1", "n1")] {
        let left = given_up();
        let mut world = World::new();
        world.observed.migration.metadata.uid = Some("later".to_owned());
        world.observed.migration.spec.target = to_node(to);
        world.observed.source = left.observed.target.clone();
        world.look();
        assert_eq!(
            world.phase(),
            MigrationPhase::Preparing,
            "{:?}",
            world.status().message
        );
        let legs = world.status().legs;
        assert_eq!((legs.len(), legs[0].uid.as_deref()), (1, Some("leg-1")));
        assert_eq!(legs[0].pod.as_deref(), Some("redis-0-x"));
        let plan = world.status().plan.unwrap();
        assert_eq!(plan.target_pod_name.as_deref(), Some("redis-0"));
        // Its leg away is the old one.
        world.observed.source = None;
        world.observed.target = left.observed.target.clone();
        world.looks(3);
        assert_eq!(world.last().0, Leg::Home);
        assert!(world.leg().name_any().contains("home"));
        assert_eq!(world.leg().spec.target, to_node(goes));
    }
}
