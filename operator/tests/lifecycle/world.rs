//! The model: what the API server has, and what holds of every look at it.

use godwit_crds::{
    COMPLETED_ANNOTATION, ConditionType, MigrationPhase, PodMigrationStatus, SourceState, condition,
};
use godwit_operator::decide::{Action, Announcement, Decision, decide};
use godwit_operator::facts::Observed;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::happening::Happening;
use crate::owned;
use crate::support::{at, migration, to_node, unasked};

pub struct World {
    pub observed: Observed,
    pub now: Timestamp,
    pub phases: Vec<MigrationPhase>,
    pub source_deleted_by_us: bool,
    /// The target's memory is filled in after the commit.
    pub fills: bool,
    /// Every event so far.
    pub announced: Vec<Announcement>,
}

impl World {
    pub fn new() -> Self {
        let mut migration = migration(to_node("n2"));
        migration.metadata.finalizers = None;
        let observed = Observed {
            migration,
            ..unasked()
        };
        Self {
            observed,
            now: at(1),
            phases: vec![MigrationPhase::Pending],
            source_deleted_by_us: false,
            fills: false,
            announced: Vec::new(),
        }
    }

    pub fn status(&self) -> PodMigrationStatus {
        self.observed.migration.status.clone().unwrap_or_default()
    }

    pub fn set(&mut self, change: impl FnOnce(&mut PodMigrationStatus)) {
        change(self.observed.migration.status.get_or_insert_default());
    }

    pub fn committed(&self) -> bool {
        matches!(
            self.observed.source_state(),
            Some(SourceState::Committed | SourceState::Released)
        ) || condition(&self.status().conditions, ConditionType::Committed)
            .is_some_and(|condition| condition.status == "True")
    }

    pub fn source_node_lives(&self) -> bool {
        self.observed.node("n1").is_some()
    }

    /// One reconcile, with the checks that hold for each.
    pub fn look(&mut self) {
        let before = self.status();
        let decision = decide(&self.observed, self.now);
        self.check(&before, &decision);
        self.announced.extend(decision.announcements.clone());
        for action in &decision.actions {
            self.apply(action);
        }
        let (source, target) = (before.source, before.target);
        self.observed.migration.status = Some(PodMigrationStatus {
            source,
            target,
            ..decision.status
        });
        let phase = self.status().phase;
        if self.phases.last() != Some(&phase) {
            self.phases.push(phase);
        }
    }

    pub fn check(&self, before: &PodMigrationStatus, decision: &Decision) {
        let after = &decision.status;
        assert!(
            rank(after.phase) >= rank(before.phase),
            "{:?} -> {:?}",
            before.phase,
            after.phase
        );
        assert!(
            !before.phase.is_final() || after.phase == before.phase,
            "a final phase changed"
        );
        assert_eq!(
            (&after.source, &after.target),
            (&before.source, &before.target),
            "the agents' fields were touched"
        );
        assert!(
            !(self.committed() && after.phase == MigrationPhase::Failed),
            "committed and failed"
        );
        assert!(
            before.settlement.is_none() || before.settlement == after.settlement,
            "settled twice"
        );
        for action in &decision.actions {
            match action {
                Action::DeleteSource { .. } => {
                    assert!(
                        before.phase == MigrationPhase::Finishing && self.committed(),
                        "source deleted before the commit was stored"
                    );
                }
                Action::DeleteTarget { .. } => assert!(!self.committed(), "target deleted after the commit"),
                Action::CreateTarget(_) => {
                    assert_eq!(before.phase, MigrationPhase::Preparing);
                    assert!(
                        self.observed.migration.metadata.finalizers.is_some(),
                        "something was made without a finalizer"
                    );
                    assert!(self.observed.target.is_none());
                }
                Action::CostSource { .. }
                | Action::ReleaseSource { .. }
                | Action::AdoptTarget { .. }
                | Action::RetireTarget { .. } => {
                    assert!(
                        before.phase == MigrationPhase::Finishing && self.committed(),
                        "an owner was touched before the commit was stored"
                    );
                    owned::check(&self.observed, action, &decision.actions);
                }
                Action::Guard(_)
                | Action::CreateLeg(_)
                | Action::CancelLeg { .. }
                | Action::ClearName { .. } => panic!("not in legs, and yet {action:?}"),
                Action::RemoveFinalizer => assert!(after.phase.is_final(), "let go before the end"),
                Action::AddFinalizer | Action::MarkTarget { .. } => {}
            }
        }
        if after.phase == MigrationPhase::Failed && before.phase != MigrationPhase::Failed {
            assert!(
                self.observed.own_target().is_none() || after.message.as_ref().unwrap().contains("still"),
                "something was left behind"
            );
        }
        if after.phase.is_final() {
            assert!(
                condition(&after.conditions, ConditionType::Succeeded)
                    .is_some_and(|condition| condition.status != "Unknown"),
                "an end without its condition"
            );
            let goes_on = self.observed.own_target().is_some() && self.target_fills();
            assert!(
                before.phase.is_final() || after.reason.as_deref() != Some("Migrated") || !goes_on,
                "over before the memory is complete"
            );
        } else if before.phase != after.phase || before == after {
            let waits = decision.look_again.is_some() || after != before || !decision.actions.is_empty();
            assert!(waits, "nothing would wake it: {after:?}");
        }
    }

    pub fn apply(&mut self, action: &Action) {
        match action {
            Action::AddFinalizer => {
                self.observed.migration.metadata.finalizers = Some(vec!["godwit.dev/migration".to_owned()]);
            }
            Action::RemoveFinalizer => self.observed.migration.metadata.finalizers = None,
            Action::CreateTarget(pod) => {
                let mut pod = (**pod).clone();
                pod.metadata.uid = Some("target-uid".to_owned());
                pod.metadata.creation_timestamp = Some(self.now.into());
                self.observed.target = Some(pod);
            }
            Action::DeleteTarget { grace, .. } => delete(&mut self.observed.target, *grace, self.now),
            Action::DeleteSource { grace, .. } => {
                self.source_deleted_by_us = true;
                delete(&mut self.observed.source, *grace, self.now);
            }
            Action::CostSource { .. }
            | Action::ReleaseSource { .. }
            | Action::AdoptTarget { .. }
            | Action::RetireTarget { .. } => owned::apply(self, action),
            Action::Guard(_) | Action::CreateLeg(_) | Action::CancelLeg { .. } | Action::ClearName { .. } => {
                unreachable!("checked before")
            }
            Action::MarkTarget { .. } => {
                if let Some(pod) = &mut self.observed.target {
                    pod.metadata
                        .annotations
                        .get_or_insert_default()
                        .insert(COMPLETED_ANNOTATION.to_owned(), "true".to_owned());
                }
            }
        }
    }

    /// From here on everybody does their part and nobody interferes: it must come to an end.
    pub fn settle(&mut self) {
        for _ in 0..400 {
            for happening in [
                Happening::TargetParks,
                Happening::SourceAgentSteps,
                Happening::TargetAgentSteps,
                Happening::TargetFills,
                Happening::KubeletRemoves,
                Happening::Seconds(5),
            ] {
                self.happen(happening);
                self.look();
            }
            if self.status().phase.is_final() {
                return;
            }
        }
        panic!("no end: {:#?}", self.status());
    }
}

/// Settles until the phase is reached.
pub fn until(phase: MigrationPhase) -> World {
    until_from(World::new(), phase)
}

/// The same from that beginning.
pub fn until_from(mut world: World, phase: MigrationPhase) -> World {
    for _ in 0..100 {
        if world.status().phase == phase {
            return world;
        }
        for happening in [
            Happening::TargetParks,
            Happening::SourceAgentSteps,
            Happening::TargetAgentSteps,
        ] {
            if world.status().phase != phase {
                world.happen(happening);
                world.look();
            }
        }
    }
    panic!("never {phase:?}");
}

/// Deletes a pod as the API server does: at once without grace, else its kubelet removes it.
pub fn delete(pod: &mut Option<Pod>, grace: u32, now: Timestamp) {
    if grace == 0 {
        *pod = None;
    } else if let Some(pod) = pod {
        let now = now.into();
        pod.metadata.deletion_timestamp.get_or_insert(now);
        let old = pod.metadata.deletion_grace_period_seconds.unwrap_or(i64::MAX);
        pod.metadata.deletion_grace_period_seconds = Some(old.min(i64::from(grace)));
    }
}

pub fn rank(phase: MigrationPhase) -> usize {
    use MigrationPhase::{Copying, Failed, Finishing, Pending, Preflight, Preparing, Succeeded, Switching};
    [
        Pending, Preflight, Preparing, Copying, Switching, Finishing, Succeeded, Failed,
    ]
    .iter()
    .position(|other| *other == phase)
    .unwrap()
}
