//! The model: what the API server has of a parent, and what holds of every look at it.

use godwit_crds::{
    COMPLETED_ANNOTATION, GUARD_LABEL, Leg, MIGRATION_UID_ANNOTATION, MigrationPhase, PodMigration,
    PodMigrationStatus, SourceState,
};
use godwit_operator::decide::{Action, Announcement, decide};
use godwit_operator::facts::Observed;
use godwit_operator::owner::{Living, Member, Owner, Selection, stand_in_for};
use godwit_operator::relay;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use serde_json::json;

use crate::support::{at, node, pod, source_says, unasked};

pub struct World {
    pub observed: Observed,
    pub now: Timestamp,
    pub did: Vec<Action>,
    pub announced: Vec<Announcement>,
    made: usize,
}

/// The member of a StatefulSet.
pub fn member() -> Pod {
    pod(|pod| {
        pod["metadata"]["labels"] = json!({
            "app": "redis", "team": "a", "controller-revision-hash": "redis-a",
            "statefulset.kubernetes.io/pod-name": "redis-0", "apps.kubernetes.io/pod-index": "0",
        });
        pod["metadata"]["ownerReferences"] = json!([
            {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "redis", "uid": "set", "controller": true, "blockOwnerDeletion": true}
        ]);
        pod["spec"]["hostname"] = json!("redis-0");
        pod["spec"]["subdomain"] = json!("redis");
    })
}

#[allow(clippy::unnecessary_wraps, reason = "it is what is observed")]
pub fn keeps() -> Option<Owner> {
    let selector = serde_json::from_value(json!({"matchLabels": {"app": "redis"}})).unwrap();
    Some(Owner::Lives(Living {
        selection: Selection::of(&selector),
        is_complete: true,
        not_ready: 0,
        changed: None,
        managed_by: None,
    }))
}

#[allow(clippy::unnecessary_wraps, reason = "it is what is observed")]
pub fn ends() -> Option<Owner> {
    Some(Owner::Ends("is scaled to 0, without redis-0".to_owned()))
}

pub fn lets_go() -> Option<Owner> {
    match keeps() {
        Some(Owner::Lives(living)) => Some(Owner::Lives(Living {
            is_complete: false,
            ..living
        })),
        other => other,
    }
}

impl World {
    /// In preflight.
    pub fn new() -> Self {
        let observed = Observed {
            source: Some(member()),
            owner: keeps(),
            nodes: vec![node("n1", |_| {}), node("n2", |_| {})],
            ..unasked()
        };
        Self {
            observed,
            now: at(1),
            did: Vec::new(),
            announced: Vec::new(),
            made: 0,
        }
    }

    /// The leg away is under way and listed.
    pub fn leaving() -> Self {
        let mut world = Self::new();
        world.looks(4);
        assert_eq!(world.status().legs[0].uid.as_deref(), Some("leg-1"));
        world.leg_is("Copying", "TargetParked");
        world.look();
        world
    }

    /// The workload is in the stand-in, and the name is free.
    pub fn in_stand_in() -> Self {
        let mut world = Self::leaving();
        world.leaves();
        world
    }

    /// The leg home is under way and listed.
    pub fn coming_home() -> Self {
        let mut world = Self::in_stand_in();
        world.looks(3);
        assert_eq!(world.last(), (Leg::Home, Some("leg-2".to_owned())));
        world.leg_is("Copying", "TargetParked");
        world.look();
        world
    }

    pub fn status(&self) -> PodMigrationStatus {
        self.observed.migration.status.clone().unwrap()
    }

    pub fn phase(&self) -> MigrationPhase {
        self.status().phase
    }

    pub fn reason(&self) -> String {
        self.status().reason.unwrap()
    }

    pub fn last(&self) -> (Leg, Option<String>) {
        let last = self.status().legs.last().cloned().unwrap();
        (last.leg, last.uid)
    }

    pub fn is_guarded(&self) -> bool {
        relay::guards(&self.observed.migration)
    }

    pub fn seconds(&mut self, seconds: i64) {
        self.now += jiff::SignedDuration::from_secs(seconds);
    }

    pub fn leg(&mut self) -> &mut PodMigration {
        self.observed.relay.leg.as_mut().unwrap()
    }

    /// The leg's own operator and agents say so.
    pub fn leg_is(&mut self, phase: &str, reason: &str) {
        let (now, name) = (self.now.to_string(), self.leg().name_any());
        let target = if name.contains("away") {
            "redis-0-x"
        } else {
            "redis-0"
        };
        let plan = json!({
            "sourcePodUid": "s", "sourceNode": "n1", "sourceAddress": "192.0.2.1", "targetPodName": target,
            "targetNode": "n2", "deadline": now,
        });
        let freeze = json!({
            "pause": "1ms", "dump": "20ms", "send": "3ms", "restore": "70ms", "commit": "2ms", "total": "100ms"
        });
        self.leg().status = Some(
            serde_json::from_value(json!({
                "phase": phase, "reason": reason, "message": format!("it says {reason}"), "plan": plan,
                "transitions": [{"phase": phase, "at": now}],
                "source": {"state": "Released", "freeze": freeze},
            }))
            .unwrap(),
        );
    }

    /// The leg away succeeds: the workload is in the stand-in, the source is gone.
    pub fn leaves(&mut self) {
        self.leg_is("Succeeded", "Migrated");
        let source = self.observed.source.take().unwrap();
        let away = self.leg().clone();
        let mut stand_in = stand_in_for(
            &source,
            &Member::of(&source).unwrap(),
            &away,
            self.observed.owner.as_ref(),
        );
        stand_in.metadata.uid = Some("stand-in".to_owned());
        stand_in.metadata.name = Some("redis-0-x".to_owned());
        stand_in
            .annotations_mut()
            .insert(COMPLETED_ANNOTATION.to_owned(), "true".to_owned());
        stand_in.spec.as_mut().unwrap().node_name = Some("n2".to_owned());
        stand_in.status.clone_from(&source.status);
        self.observed.target = Some(stand_in);
    }

    /// The leg home has made its pod.
    pub fn home_is_made(&mut self) {
        let uid = self.leg().metadata.uid.clone().unwrap();
        let mut home = member();
        home.metadata.uid = Some("home".to_owned());
        home.annotations_mut()
            .insert(MIGRATION_UID_ANNOTATION.to_owned(), uid);
        self.observed.source = Some(home);
    }

    pub fn looks(&mut self, times: usize) {
        for _ in 0..times {
            self.look();
        }
    }

    /// One reconcile, with what holds of each.
    pub fn look(&mut self) {
        let before = self.status();
        let decision = decide(&self.observed, self.now);
        let again = decide(&self.observed, self.now);
        assert_eq!(
            (&decision.actions, &decision.status),
            (&again.actions, &again.status)
        );
        assert!(
            !before.phase.is_final() || decision.status.phase == before.phase,
            "a final phase changed"
        );
        let quiet = decision.look_again.is_none() && decision.actions.is_empty();
        assert!(
            !quiet || decision.status.phase.is_final() || decision.status != before,
            "nothing would wake it"
        );
        for action in &decision.actions {
            self.check(action);
            self.apply(action);
        }
        self.did.extend(decision.actions);
        self.announced.extend(decision.announcements);
        self.observed.migration.status = Some(decision.status);
        // The next look reads the leg that is last.
        let last = self.status().legs.last().map(|last| last.migration.clone());
        let is_last = |leg: &PodMigration| Some(leg.name_any()) == last;
        self.observed.relay.leg = self.observed.relay.leg.take().filter(is_last);
        self.hear();
    }

    /// The agent that is asked answers before the next look.
    fn hear(&mut self) {
        let asked = self.phase() == MigrationPhase::Preflight && self.status().source.is_none();
        if asked && self.status().plan.is_some() {
            let status = self.observed.migration.status.get_or_insert_default();
            status.source = Some(source_says(SourceState::Looked));
            self.look();
        }
    }

    fn stand_in_lives(&self) -> bool {
        self.observed.target.is_some()
    }

    fn home_has_committed(&self) -> bool {
        let leg = self.observed.relay.leg.as_ref();
        let phase = leg.and_then(|leg| leg.status.as_ref()).map(|status| status.phase);
        let is_over = matches!(phase, Some(MigrationPhase::Finishing | MigrationPhase::Succeeded));
        leg.is_some_and(|leg| leg.name_any().contains("home")) && is_over
    }

    fn check(&self, action: &Action) {
        match action {
            Action::Guard(false) => assert!(
                !self.stand_in_lives()
                    || self.home_has_committed()
                    || matches!(&self.observed.owner, Some(Owner::Lives(living)) if !living.is_complete),
                "the name is free for all beside a stand-in"
            ),
            Action::CreateLeg(leg) => {
                assert!(self.is_guarded(), "a leg without a guard");
                if leg.name_any().contains("home") {
                    assert!(self.stand_in_lives() && self.observed.source.is_none());
                    assert_eq!(leg.spec.pod_name, "redis-0-x");
                } else {
                    assert_eq!(leg.spec.pod_name, "redis-0");
                }
            }
            Action::ClearName { uid, .. } => {
                assert!(self.stand_in_lives(), "the only one was deleted");
                assert!(!["source-uid", "home"].contains(&uid.as_str()), "{uid} is ours");
            }
            Action::RetireTarget { name, .. } => {
                assert_eq!(name, "redis-0-x");
                assert!(matches!(self.observed.owner, Some(Owner::Ends(_))));
                assert!(!self.home_has_committed());
            }
            Action::CancelLeg { .. } => assert!(!self.home_has_committed()),
            Action::RemoveFinalizer => assert!(!self.is_guarded(), "let go while it guards"),
            Action::Guard(true) | Action::AddFinalizer => {}
            other => panic!("a parent does not {other:?}"),
        }
    }

    fn apply(&mut self, action: &Action) {
        match action {
            Action::Guard(true) => {
                let labels = self.observed.migration.labels_mut();
                labels.insert(GUARD_LABEL.to_owned(), "true".to_owned());
            }
            Action::Guard(false) => {
                self.observed.migration.labels_mut().remove(GUARD_LABEL);
            }
            Action::CreateLeg(leg) => {
                self.made += 1;
                let mut leg = (**leg).clone();
                leg.metadata.uid = Some(format!("leg-{}", self.made));
                self.observed.relay.leg = Some(leg);
            }
            Action::CancelLeg { .. } => self.leg().spec.cancel = true,
            Action::ClearName { .. } => self.observed.source = None,
            Action::RetireTarget { .. } => {
                let now = self.now.into();
                self.observed.target.as_mut().unwrap().metadata.deletion_timestamp = Some(now);
            }
            Action::RemoveFinalizer => self.observed.migration.metadata.finalizers = None,
            _ => {}
        }
    }
}
