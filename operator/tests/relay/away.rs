//! The leg away.

use godwit_crds::{Leg, MigrationPhase};
use godwit_operator::decide::Action;
use kube::ResourceExt;

use crate::support::at;
use crate::world::{World, ends, lets_go};

#[test]
fn the_name_is_guarded_before_there_is_a_leg() {
    let mut world = World::new();
    world.look();
    assert_eq!(world.phase(), MigrationPhase::Preparing);
    let legs = world.status().legs;
    assert_eq!((legs.len(), legs[0].leg), (1, Leg::Away));
    // Agents act on a plan that names a target's UID; a parent has none, for it has no target.
    let plan = world.status().plan.unwrap();
    assert_eq!(plan.target_pod_name.as_deref(), Some("redis-0"));
    assert_eq!(plan.target_pod_uid, None);
    world.look();
    assert_eq!(world.did, [Action::Guard(true)]);
    world.look();
    assert!(
        matches!(&world.did[1], Action::CreateLeg(leg) if leg.spec.target == world.observed.migration.spec.target)
    );
    // An operator that dies here makes no second one: it finds what it has made.
    world.looks(3);
    assert_eq!(world.did.len(), 2);
    assert_eq!(world.status().legs[0].uid.as_deref(), Some("leg-1"));
}

#[test]
fn a_leg_that_is_made_again_has_the_same_name() {
    let mut world = World::new();
    world.looks(3);
    let first = world.leg().name_any();
    world.observed.relay.leg = None;
    world.look();
    assert_eq!(world.leg().name_any(), first);
}

#[test]
fn it_is_where_its_leg_is_and_not_committed_until_it_is_home() {
    let mut world = World::leaving();
    assert_eq!(world.phase(), MigrationPhase::Copying);
    for phase in ["Switching", "Finishing"] {
        world.leg_is(phase, "Committed");
        world.look();
        assert_eq!(world.phase(), MigrationPhase::Switching);
    }
    assert_eq!(world.status().legs[0].pod.as_deref(), Some("redis-0-x"));
    assert_eq!(world.status().timings.unwrap().freeze.unwrap().total, "100ms");
}

#[test]
fn a_failed_leg_away_is_the_end_and_leaves_nothing() {
    let mut world = World::leaving();
    world.leg_is("Failed", "DumpFailed");
    world.look();
    assert_eq!(
        (world.phase(), world.reason().as_str()),
        (MigrationPhase::Failed, "DumpFailed")
    );
    assert!(world.status().message.unwrap().contains("it says DumpFailed"));
    world.looks(3);
    assert!(!world.is_guarded());
    assert_eq!(world.observed.migration.metadata.finalizers, None);
    assert!(world.observed.source.is_some());
}

#[test]
fn cancelling_cancels_the_leg() {
    for before_the_leg in [true, false] {
        let mut world = if before_the_leg {
            World::new()
        } else {
            World::leaving()
        };
        if before_the_leg {
            world.looks(2);
        }
        world.observed.migration.spec.cancel = true;
        world.look();
        if !before_the_leg {
            assert!(world.leg().spec.cancel);
            world.look();
            let cancels = world
                .did
                .iter()
                .filter(|it| matches!(it, Action::CancelLeg { .. }));
            assert_eq!(cancels.count(), 1);
            world.leg_is("Failed", "Cancelled");
            world.look();
        }
        assert_eq!(
            (world.phase(), world.reason().as_str()),
            (MigrationPhase::Failed, "Cancelled")
        );
    }
}

#[test]
fn a_stateful_set_that_wants_the_pod_no_more_wins_before_it_has_left() {
    for (owner, reason) in [(ends(), "OwnerWins"), (lets_go(), "OwnerLetGo")] {
        let mut world = World::leaving();
        world.observed.owner.clone_from(&owner);
        world.look();
        assert!(world.leg().spec.cancel);
        world.leg_is("Failed", "Cancelled");
        world.look();
        assert_eq!(
            (world.phase(), world.reason().as_str()),
            (MigrationPhase::Failed, reason)
        );
        let mut world = World::new();
        world.looks(2);
        world.observed.owner = owner;
        world.look();
        assert_eq!(world.reason(), reason);
    }
}

#[test]
fn what_is_committed_is_not_called_off() {
    let mut world = World::leaving();
    world.leg_is("Finishing", "Committed");
    world.observed.owner = ends();
    world.observed.migration.spec.cancel = true;
    world.looks(3);
    assert!(!world.leg().spec.cancel);
    assert_eq!(world.phase(), MigrationPhase::Switching);
}

#[test]
fn a_source_that_ends_before_the_leg_is_the_end() {
    let mut world = World::new();
    world.looks(2);
    world.observed.source = None;
    world.look();
    assert_eq!(world.reason(), "SourceGone");
    let mut world = World::new();
    world.looks(2);
    world.now = at(10_000);
    world.look();
    assert_eq!(world.reason(), "TimedOut");
}

#[test]
fn a_leg_whose_object_was_deleted_is_judged_by_the_pods() {
    let mut world = World::leaving();
    world.observed.relay.leg = None;
    world.look();
    assert_eq!(world.reason(), "LegDeleted");
    let mut world = World::in_stand_in();
    world.observed.relay.leg = None;
    world.look();
    assert_eq!(world.last().0, Leg::Home);
}

#[test]
fn somebody_elses_object_of_the_legs_name_is_no_leg() {
    let mut world = World::new();
    world.looks(2);
    let name = world.status().legs[0].migration.clone();
    let mut other = world.observed.migration.clone();
    other.metadata.name = Some(name);
    other.metadata.uid = Some("other".to_owned());
    world.observed.relay.leg = Some(other);
    world.look();
    assert_eq!(world.reason(), "LegUnknown");
}
