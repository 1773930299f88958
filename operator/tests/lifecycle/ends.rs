//! Ends that are nobody's wish, and who is told what of them.

use godwit_crds::{
    ConditionType, MigrationPhase, PodMigrationStatus, Settlement, SourceState, TargetState, condition,
};
use godwit_operator::decide::target_refused;
use serde_json::json;

use crate::happening::Happening;
use crate::support::{source_says, stays, target_says};
use crate::world::until;

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
    assert!(stays(world.observed.target.as_ref()));
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
    assert!(stays(world.observed.target.as_ref()));
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

#[test]
fn what_agents_warn_of_is_told_once_the_pod_has_moved() {
    let mut world = until(MigrationPhase::Finishing);
    world.set(|status| {
        let source = status.source.get_or_insert_default();
        source.warnings = vec!["the log is not complete".to_owned()];
    });
    world.settle();
    world.settle();
    assert_eq!(world.status().phase, MigrationPhase::Succeeded);
    let told: Vec<_> = world
        .announced
        .iter()
        .filter(|event| event.reason == "MovedWithWarning")
        .collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].warning && told[0].message.contains("not complete"));
}

#[test]
fn a_source_is_removed_before_its_liveness_probe_would_kill_it_even_if_the_targets_agent_is_silent() {
    for (seconds, removed) in [(8, false), (11, true)] {
        let mut world = until(MigrationPhase::Finishing);
        let source = world.observed.source.as_mut().unwrap().spec.as_mut().unwrap();
        let probe = json!({"failureThreshold": 3, "periodSeconds": 6});
        source.containers[0].liveness_probe = Some(serde_json::from_value(probe).unwrap());
        world.look();
        world.happen(Happening::Seconds(seconds));
        world.look();
        assert_eq!(world.source_deleted_by_us, removed, "{seconds}");
    }
}

#[test]
fn a_source_is_removed_before_its_liveness_probe_would_kill_it_even_if_the_target_is_not_ready() {
    // The probe allows 12 s and a half from the freeze on.
    for (probed, seconds, removed) in [(false, 20, false), (true, 8, false), (true, 11, true)] {
        let mut world = until(MigrationPhase::Finishing);
        let not_ready = |pod: &mut Option<k8s_openapi::api::core::v1::Pod>| {
            let status = pod.as_mut().unwrap().status.as_mut().unwrap();
            status.conditions = None;
        };
        world.happen(Happening::SourceAgentSteps);
        world.happen(Happening::TargetAgentSteps);
        not_ready(&mut world.observed.target);
        if probed {
            let source = world.observed.source.as_mut().unwrap().spec.as_mut().unwrap();
            let probe = json!({"failureThreshold": 3, "periodSeconds": 6});
            source.containers[0].liveness_probe = Some(serde_json::from_value(probe).unwrap());
        }
        world.look();
        world.happen(Happening::Seconds(seconds));
        world.look();
        assert_eq!(world.source_deleted_by_us, removed, "{probed} {seconds}");
    }
}
