//! Memory that travels ahead of the freeze, and memory that comes in after the commit.

use godwit_crds::{ConditionType, MigrationPhase, SourceState, condition};
use godwit_operator::decide::decide;
use serde_json::json;

use crate::happening::Happening;
use crate::support::{node, source_says};
use crate::world::{World, until};

/// Committed, the source gone, the target running, its memory not complete.
fn filling() -> World {
    let mut world = until(MigrationPhase::Finishing);
    world.fills = true;
    for _ in 0..20 {
        world.happen(Happening::SourceAgentSteps);
        world.happen(Happening::TargetAgentSteps);
        world.happen(Happening::KubeletRemoves);
        world.look();
    }
    world
}

#[test]
fn a_migration_is_over_when_the_memory_is_complete_and_the_source_does_not_wait_for_it() {
    let mut world = filling();
    let status = world.status();
    assert!(world.source_deleted_by_us && world.observed.source.is_none());
    assert_eq!(
        (status.phase, status.reason.as_deref()),
        (MigrationPhase::Finishing, Some("FillingMemory"))
    );
    let succeeded = condition(&status.conditions, ConditionType::Succeeded).unwrap();
    assert_eq!(
        (succeeded.status.as_str(), succeeded.reason.as_str()),
        ("Unknown", "FillingMemory")
    );
    // No figure in it: the operator has nothing to write while pages come in.
    world.happen(Happening::TargetFills);
    assert!(world.target_fills());
    world.look();
    assert_eq!(world.status().conditions, status.conditions);
    assert_eq!(world.status().message, status.message);
    world.happen(Happening::TargetFills);
    world.look();
    let status = world.status();
    assert_eq!(
        (status.phase, status.reason.as_deref()),
        (MigrationPhase::Succeeded, Some("Migrated"))
    );
    assert_eq!(
        condition(&status.conditions, ConditionType::Succeeded)
            .unwrap()
            .status,
        "True"
    );
}

#[test]
fn while_the_targets_agent_is_away_nobody_knows_whether_the_memory_is_complete() {
    for change in ["/metadata/labels", "/status/conditions"] {
        let mut world = filling();
        let away = node("n2", |node| {
            *node.pointer_mut(change).unwrap() = if change == "/metadata/labels" {
                json!({})
            } else {
                json!([])
            };
        });
        let back = std::mem::replace(&mut world.observed.nodes[1], away);
        let mut warnings = 0;
        for _ in 0..100 {
            world.happen(Happening::Seconds(60));
            let decision = decide(&world.observed, world.now);
            warnings += decision
                .announcements
                .iter()
                .filter(|announcement| announcement.warning)
                .count();
            world.look();
        }
        let status = world.status();
        assert_eq!(
            (status.phase, status.reason.as_deref()),
            (MigrationPhase::Finishing, Some("WaitingForAgent"))
        );
        assert!(status.message.unwrap().contains("n2"));
        assert_eq!(warnings, 1, "one event is enough");
        world.observed.nodes[1] = back;
        world.settle();
        assert_eq!(world.status().phase, MigrationPhase::Succeeded);
    }
}

#[test]
fn a_target_that_ends_while_its_memory_comes_in_ends_the_migration() {
    let mut world = filling();
    world.happen(Happening::UserDeletesTarget);
    world.happen(Happening::KubeletRemoves);
    world.look();
    assert_eq!(
        (world.status().phase, world.status().reason.as_deref()),
        (MigrationPhase::Succeeded, Some("TargetGoneAfterCommit"))
    );
}

fn source_memory(world: &mut World, memory: serde_json::Value) {
    let memory = serde_json::from_value(memory).unwrap();
    world.set(|status| {
        let mut report = status
            .source
            .take()
            .unwrap_or_else(|| source_says(SourceState::Copying));
        report.memory = Some(memory);
        status.source = Some(report);
    });
}

#[test]
fn a_pod_that_is_slowed_down_is_told_of_once_and_so_is_the_end_of_it() {
    let mut world = until(MigrationPhase::Copying);
    for percent in [20, 40, 60] {
        source_memory(
            &mut world,
            json!({"mode": "PreCopy", "round": 2, "throttlePercent": percent}),
        );
        let decision = decide(&world.observed, world.now);
        assert_eq!(
            decision.announcements.len(),
            usize::from(percent == 20),
            "{percent}"
        );
        world.look();
        assert_eq!(world.status().reason.as_deref(), Some("SlowedDown"));
    }
    source_memory(&mut world, json!({"mode": "PreCopy", "round": 3}));
    world.look();
    assert_eq!(world.status().reason.as_deref(), Some("TargetParked"));
}

#[test]
fn what_the_freeze_begins_with_is_told() {
    for (memory, words) in [
        (
            json!({"mode": "PreCopy", "round": 4, "expectedFreeze": "180ms"}),
            "after 4 rounds of copying memory; expected freeze 180ms",
        ),
        (
            json!({"mode": "StopAndCopy", "reason": "the kernel cannot track writes"}),
            "with all of its memory (the kernel cannot track writes)",
        ),
    ] {
        let mut world = until(MigrationPhase::Copying);
        source_memory(&mut world, memory);
        world.set(|status| status.source.as_mut().unwrap().state = SourceState::Switching);
        let decision = decide(&world.observed, world.now);
        assert_eq!(decision.announcements.len(), 1);
        assert!(
            decision.announcements[0].message.ends_with(words),
            "{:?}",
            decision.announcements
        );
        world.look();
        assert_eq!(world.status().phase, MigrationPhase::Switching);
        assert!(decide(&world.observed, world.now).announcements.is_empty());
    }
}
