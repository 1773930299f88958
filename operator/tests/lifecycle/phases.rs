//! From phase to phase, undisturbed or ended by the user.

use godwit_crds::{ConditionType, MigrationPhase, condition};
use godwit_operator::decide::has_begun;

use crate::happening::Happening;
use crate::world::{World, until};

#[test]
fn an_undisturbed_migration_goes_through_every_phase() {
    use MigrationPhase::{Copying, Finishing, Pending, Preflight, Preparing, Succeeded, Switching};
    let mut world = World::new();
    world.settle();
    assert_eq!(
        world.phases,
        [
            Pending, Preflight, Preparing, Copying, Switching, Finishing, Succeeded
        ]
    );
    let status = world.status();
    let timings = status.timings.unwrap();
    assert!(
        timings.preflight.is_some()
            && timings.prepare.is_some()
            && timings.copy.is_some()
            && timings.finish.is_some()
    );
    assert!(world.source_deleted_by_us && world.observed.source.is_none() && world.observed.target.is_some());
    assert!(world.observed.migration.metadata.finalizers.is_none());
    for (condition_type, wanted) in [
        (ConditionType::Accepted, "True"),
        (ConditionType::TargetPrepared, "True"),
        (ConditionType::Committed, "True"),
        (ConditionType::Succeeded, "True"),
    ] {
        assert_eq!(
            condition(&status.conditions, condition_type).map(|condition| condition.status.as_str()),
            Some(wanted)
        );
    }
}

#[test]
fn a_cancelled_or_deleted_migration_leaves_the_source_alone_in_every_phase_before_the_commit() {
    use MigrationPhase::{Copying, Pending, Preflight, Preparing, Switching};
    for phase in [Pending, Preflight, Preparing, Copying, Switching] {
        for happening in [Happening::UserCancels, Happening::UserDeletesMigration] {
            let mut world = until(phase);
            world.happen(happening);
            world.settle();
            assert_eq!(
                world.status().phase,
                MigrationPhase::Failed,
                "{phase:?} {happening:?}"
            );
            assert!(
                !world.source_deleted_by_us
                    && world.observed.source.is_some()
                    && world.observed.target.is_none()
            );
            assert!(world.observed.migration.metadata.finalizers.is_none());
        }
    }
}

/// A new migration can wait for a cluster that is made ready; one that has begun cannot, and neither can its end.
#[test]
fn only_a_migration_that_touches_nothing_yet_can_wait() {
    use MigrationPhase::{Copying, Finishing, Pending, Preflight, Preparing, Succeeded, Switching};
    for phase in [Pending, Preflight, Preparing, Copying, Switching, Finishing] {
        let world = until(phase);
        let waits = matches!(phase, Pending | Preflight);
        assert_eq!(has_begun(&world.observed), !waits, "{phase:?}");
    }
    for happening in [Happening::UserCancels, Happening::UserDeletesMigration] {
        let mut world = until(Preflight);
        world.happen(happening);
        assert!(has_begun(&world.observed));
    }
    let mut failing = until(Preflight);
    failing.observed.source = None;
    failing.look();
    assert!(has_begun(&failing.observed), "{:?}", failing.status());
    let mut over = World::new();
    over.settle();
    assert_eq!(over.status().phase, Succeeded);
    assert!(has_begun(&over.observed));
}
