//! What holds whatever happens.

use godwit_crds::MigrationPhase;
use proptest::prelude::*;

use crate::happening::{Happening, happening};
use crate::world::World;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_promises_hold_and_it_ends(fills: bool, happenings in prop::collection::vec(happening(), 0..40)) {
        let mut world = World { fills, ..World::new() };
        for happening in happenings {
            world.happen(happening);
            world.look();
        }
        world.settle();
        // What is final stays so.
        let end = world.status();
        world.happen(Happening::Seconds(1000));
        world.look();
        prop_assert_eq!(&world.status(), &end);
        if end.phase == MigrationPhase::Failed {
            prop_assert!(!world.source_deleted_by_us);
        }
    }
}
