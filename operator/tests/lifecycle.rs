//! Properties of whole migrations: a small model of cluster and agents does what real ones may do, in any order, and
//! `decide` is asked again and again, as the controller asks it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests, which may")]

mod support;

use godwit_crds::{
    COMPLETED_ANNOTATION, ConditionType, MigrationPhase, PodMigrationStatus, Settlement, SourceState,
    TargetMemory, TargetReport, TargetState, condition,
};
use godwit_operator::decide::{Action, Decision, decide, target_refused};
use godwit_operator::facts::Observed;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::json;
use support::{at, migration, node, plain_pod, source_says, target_says, to_node};

/// What may happen between two looks.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Seconds(i64),
    TargetParks,
    TargetFails,
    SourceAgentSteps,
    SourceAgentRollsBack,
    TargetAgentSteps,
    TargetAgentAborts,
    TargetFills,
    UserCancels,
    UserDeletesMigration,
    UserDeletesSource,
    UserDeletesTarget,
    SourceNodeDies,
    KubeletRemoves,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (1_i64..90).prop_map(Happening::Seconds),
        6 => Just(Happening::TargetParks),
        1 => Just(Happening::TargetFails),
        8 => Just(Happening::SourceAgentSteps),
        1 => Just(Happening::SourceAgentRollsBack),
        8 => Just(Happening::TargetAgentSteps),
        1 => Just(Happening::TargetAgentAborts),
        4 => Just(Happening::TargetFills),
        1 => Just(Happening::UserCancels),
        1 => Just(Happening::UserDeletesMigration),
        1 => Just(Happening::UserDeletesSource),
        1 => Just(Happening::UserDeletesTarget),
        1 => Just(Happening::SourceNodeDies),
        4 => Just(Happening::KubeletRemoves),
    ]
}

struct World {
    observed: Observed,
    now: Timestamp,
    phases: Vec<MigrationPhase>,
    source_deleted_by_us: bool,
    /// The target's memory is filled in after the commit.
    fills: bool,
}

impl World {
    fn new() -> Self {
        let mut migration = migration(to_node("n2"));
        migration.metadata.finalizers = None;
        let observed = Observed {
            migration,
            source: Some(plain_pod()),
            target: None,
            nodes: vec![node("n1", |_| {}), node("n2", |_| {})],
            others: Vec::new(),
            maker: None,
        };
        Self {
            observed,
            now: at(1),
            phases: vec![MigrationPhase::Pending],
            source_deleted_by_us: false,
            fills: false,
        }
    }

    fn status(&self) -> PodMigrationStatus {
        self.observed.migration.status.clone().unwrap_or_default()
    }

    fn set(&mut self, change: impl FnOnce(&mut PodMigrationStatus)) {
        change(self.observed.migration.status.get_or_insert_default());
    }

    fn committed(&self) -> bool {
        matches!(
            self.observed.source_state(),
            Some(SourceState::Committed | SourceState::Released)
        ) || condition(&self.status().conditions, ConditionType::Committed)
            .is_some_and(|condition| condition.status == "True")
    }

    fn source_node_lives(&self) -> bool {
        self.observed.node("n1").is_some()
    }

    /// One reconcile, with the checks that hold for each.
    fn look(&mut self) {
        let before = self.status();
        let decision = decide(&self.observed, self.now);
        self.check(&before, &decision);
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

    fn check(&self, before: &PodMigrationStatus, decision: &Decision) {
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

    fn apply(&mut self, action: &Action) {
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

    fn happen(&mut self, happening: Happening) {
        let agents_act = matches!(
            self.status().phase,
            MigrationPhase::Copying | MigrationPhase::Switching | MigrationPhase::Finishing
        );
        let source_agent_acts = agents_act && self.source_node_lives();
        match happening {
            Happening::Seconds(seconds) => {
                self.now = self.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
            }
            Happening::TargetParks => {
                if let Some(pod) = &mut self.observed.target {
                    park(pod, self.now);
                }
            }
            Happening::TargetFails => {
                if let Some(pod) = self.observed.target.as_mut().filter(|_| !agents_act) {
                    pod.status.get_or_insert_default().phase = Some("Failed".to_owned());
                }
            }
            Happening::SourceAgentSteps if source_agent_acts => self.source_agent_steps(),
            Happening::SourceAgentRollsBack if source_agent_acts && !self.committed() => {
                self.set(|status| status.source = Some(source_says(SourceState::RolledBack)));
            }
            Happening::TargetAgentSteps if agents_act && self.observed.target.is_some() => {
                self.target_agent_steps();
            }
            Happening::TargetAgentAborts
                if agents_act
                    && !self.committed()
                    && self.observed.target_state() != Some(TargetState::Running) =>
            {
                self.set(|status| status.target = Some(target_says(TargetState::Aborted)));
            }
            Happening::TargetFills if self.target_fills() => {
                self.set(|status| {
                    let memory = status.target.as_mut().unwrap().memory.as_mut().unwrap();
                    memory.pages_left = memory.pages_left.saturating_sub(60);
                    memory.filled = memory.pages_left == 0;
                });
            }
            Happening::UserCancels => self.observed.migration.spec.cancel = true,
            Happening::UserDeletesMigration => {
                let at = self.now.into();
                self.observed
                    .migration
                    .metadata
                    .deletion_timestamp
                    .get_or_insert(at);
            }
            Happening::UserDeletesSource => delete(&mut self.observed.source, 30, self.now),
            Happening::UserDeletesTarget => delete(&mut self.observed.target, 30, self.now),
            Happening::SourceNodeDies => {
                // An administrator removes the Node object; pod garbage collection follows.
                self.observed
                    .nodes
                    .retain(|node| node.metadata.name.as_deref() != Some("n1"));
                self.observed.source = None;
            }
            Happening::KubeletRemoves => {
                for pod in [&mut self.observed.source, &mut self.observed.target] {
                    if pod
                        .as_ref()
                        .is_some_and(|pod| pod.metadata.deletion_timestamp.is_some())
                    {
                        *pod = None;
                    }
                }
            }
            _ => {}
        }
    }

    fn source_agent_steps(&mut self) {
        let overdue = self.now > self.status().plan.unwrap().deadline.0;
        let wants_out = self.observed.wants_cancel()
            || overdue
            || self.observed.source.is_none()
            || self.observed.target.is_none();
        let holds = self.observed.target_state() == Some(TargetState::Holding);
        let aborted = self.observed.target_state() == Some(TargetState::Aborted);
        let runs = self.observed.target_state() == Some(TargetState::Running);
        let next = match self.observed.source_state() {
            Some(SourceState::Committed) if runs || self.observed.target.is_none() => SourceState::Released,
            Some(SourceState::Committed) => SourceState::Committed,
            Some(SourceState::Released) => SourceState::Released,
            Some(SourceState::RolledBack) => SourceState::RolledBack,
            _ if wants_out || aborted => SourceState::RolledBack,
            Some(SourceState::Switching) if holds => SourceState::Committed,
            Some(SourceState::Switching | SourceState::Copying) => SourceState::Switching,
            None => SourceState::Copying,
        };
        self.set(|status| status.source = Some(source_says(next)));
    }

    fn target_agent_steps(&mut self) {
        let may_run = self.committed() || self.status().settlement == Some(Settlement::TargetRuns);
        let switching = self.observed.source_state() == Some(SourceState::Switching);
        let next = match self.observed.target_state() {
            None => TargetState::Ready,
            Some(TargetState::Ready) => TargetState::Receiving,
            Some(TargetState::Receiving) if switching => TargetState::Holding,
            Some(TargetState::Holding) if may_run => TargetState::Running,
            Some(state) => state,
        };
        if next == TargetState::Running
            && let Some(pod) = &mut self.observed.target
        {
            run(pod, self.now);
        }
        let lazily = self.fills;
        self.set(|status| {
            let memory = status
                .target
                .as_ref()
                .and_then(|target| target.memory.clone())
                .or_else(|| {
                    (lazily && next == TargetState::Running).then_some(TargetMemory {
                        pages_left: 100,
                        filled: false,
                    })
                });
            status.target = Some(TargetReport {
                memory,
                ..target_says(next)
            });
        });
    }

    fn target_fills(&self) -> bool {
        let status = self.status();
        status
            .target
            .and_then(|target| target.memory)
            .is_some_and(|memory| !memory.filled)
    }

    /// From here on everybody does their part and nobody interferes: it must come to an end.
    fn settle(&mut self) {
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

fn delete(pod: &mut Option<Pod>, grace: u32, now: Timestamp) {
    if grace == 0 {
        *pod = None;
    } else if let Some(pod) = pod {
        let now = now.into();
        pod.metadata.deletion_timestamp.get_or_insert(now);
    }
}

fn park(pod: &mut Pod, now: Timestamp) {
    let spec = pod.spec.as_mut().unwrap();
    if spec.node_name.is_some() {
        return;
    }
    spec.node_name = Some("n2".to_owned());
    let parked = json!({
        "phase": "Pending", "startTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "initContainerStatuses": [{"name": "godwit-park-0", "image": "redis:8", "imageID": "", "ready": false, "restartCount": 0, "state": {"running": {}}}]
    });
    pod.status = Some(serde_json::from_value(parked).unwrap());
}

fn run(pod: &mut Pod, now: Timestamp) {
    let running = json!({
        "phase": "Running", "startTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "redis", "image": "redis:8", "imageID": "", "ready": true, "started": true, "restartCount": 0, "state": {"running": {}}}]
    });
    pod.status = Some(serde_json::from_value(running).unwrap());
}

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

/// Settles until the phase is reached.
fn until(phase: MigrationPhase) -> World {
    let mut world = World::new();
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

#[test]
fn a_rollback_is_told_in_the_agents_own_words() {
    let mut world = until(MigrationPhase::Switching);
    world.happen(Happening::SourceAgentRollsBack);
    world.settle();
    let status = world.status();
    assert_eq!(status.reason.as_deref(), Some("DumpFailed"));
    assert_eq!(
        status.message.as_deref(),
        Some("Dump: Error (criu/sk-inet.c:1): no")
    );
}

#[test]
fn an_operator_that_dies_between_writing_a_failure_down_and_undoing_it_still_knows_why() {
    let mut world = until(MigrationPhase::Switching);
    world.happen(Happening::SourceAgentRollsBack);
    world.look();
    assert_eq!(world.status().phase, MigrationPhase::Switching);
    assert!(
        world
            .observed
            .target
            .as_ref()
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_none()
    );
    // Even if the report were gone by now.
    world.set(|status| status.source = None);
    world.settle();
    assert_eq!(world.status().reason.as_deref(), Some("DumpFailed"));
}

#[test]
fn a_refused_target_pod_fails_the_migration_with_the_api_servers_words() {
    let mut world = until(MigrationPhase::Preparing);
    let decision = target_refused(&world.observed, "exceeded quota: q", world.now);
    world.observed.migration.status = Some(decision.status);
    world.settle();
    let status = world.status();
    assert_eq!(
        (status.phase, status.reason.as_deref()),
        (MigrationPhase::Failed, Some("TargetRefused"))
    );
    assert!(status.message.unwrap().contains("exceeded quota: q"));
}

/// A target pod that waits for that reason for that long.
fn waiting(reason: &str, seconds: i64) -> PodMigrationStatus {
    let mut world = until(MigrationPhase::Preparing);
    world.look();
    let began = world.now;
    let pod = world.observed.target.as_mut().unwrap();
    pod.spec.as_mut().unwrap().node_name = Some("n2".to_owned());
    let status = json!({
        "phase": "Pending", "startTime": began.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "initContainerStatuses": [{"name": "godwit-park-0", "image": "redis:8", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": reason, "message": "in kubelet's words"}}}]
    });
    pod.status = Some(serde_json::from_value(status).unwrap());
    world.happen(Happening::Seconds(seconds));
    world.look();
    world.status()
}

#[test]
fn an_image_that_cannot_be_had_is_given_up_soon_but_not_at_the_first_hiccup() {
    for (reason, seconds, outcome) in [
        ("ErrImageNeverPull", 0, Some("ImageUnavailable")),
        ("InvalidImageName", 0, Some("ImageUnavailable")),
        ("ErrImagePull", 3, None),
        ("ImagePullBackOff", 16, Some("ImageUnavailable")),
        ("CreateContainerError", 3, None),
        ("CreateContainerError", 16, Some("ParkingFailed")),
        ("PodInitializing", 100, None),
    ] {
        let status = waiting(reason, seconds);
        let failed =
            condition(&status.conditions, ConditionType::Succeeded).map(|condition| condition.reason.clone());
        assert_eq!(failed.as_deref(), outcome, "{reason} {seconds}");
        if outcome.is_some() {
            assert!(status.message.unwrap().contains("in kubelet's words"));
        }
    }
}

#[test]
fn a_source_whose_node_is_gone_is_settled_for_a_target_that_holds_everything() {
    let mut world = until(MigrationPhase::Switching);
    world.set(|status| status.target = Some(target_says(TargetState::Holding)));
    world.happen(Happening::SourceNodeDies);
    world.settle();
    assert_eq!(world.status().phase, MigrationPhase::Succeeded);
    assert_eq!(world.status().settlement, Some(Settlement::TargetRuns));
}

#[test]
fn a_silent_source_on_a_live_node_is_never_decided_for() {
    let mut world = until(MigrationPhase::Switching);
    world.set(|status| status.target = Some(target_says(TargetState::Holding)));
    for _ in 0..50 {
        world.happen(Happening::Seconds(60));
        world.look();
    }
    let status = world.status();
    assert_eq!(
        (status.phase, status.settlement),
        (MigrationPhase::Switching, None)
    );
    assert_eq!(status.reason.as_deref(), Some("WaitingForAgent"));
    assert!(
        world
            .observed
            .target
            .as_ref()
            .unwrap()
            .metadata
            .deletion_timestamp
            .is_none()
    );
    // The agent comes back and says what its journal says.
    world.set(|status| status.source = Some(source_says(SourceState::Committed)));
    world.settle();
    assert_eq!(world.status().phase, MigrationPhase::Succeeded);
}

#[test]
fn an_agent_that_never_answered_has_touched_nothing() {
    let mut world = until(MigrationPhase::Copying);
    world.set(|status| (status.source, status.target) = (None, None));
    for _ in 0..20 {
        world.happen(Happening::Seconds(60));
        world.happen(Happening::KubeletRemoves);
        world.look();
    }
    assert_eq!(
        (world.status().phase, world.status().reason.as_deref()),
        (MigrationPhase::Failed, Some("AgentAway"))
    );
    assert!(world.observed.source.is_some() && world.observed.target.is_none());
}

#[test]
fn a_source_agent_that_dies_after_the_commit_does_not_keep_its_pod_for_ever() {
    let mut world = until(MigrationPhase::Finishing);
    for _ in 0..40 {
        world.happen(Happening::TargetAgentSteps);
        world.happen(Happening::KubeletRemoves);
        world.happen(Happening::Seconds(5));
        world.look();
    }
    assert_eq!(world.status().phase, MigrationPhase::Succeeded);
    assert_eq!(world.observed.source_state(), Some(SourceState::Committed));
}

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

fn rank(phase: MigrationPhase) -> usize {
    use MigrationPhase::{Copying, Failed, Finishing, Pending, Preflight, Preparing, Succeeded, Switching};
    [
        Pending, Preflight, Preparing, Copying, Switching, Finishing, Succeeded, Failed,
    ]
    .iter()
    .position(|other| *other == phase)
    .unwrap()
}
