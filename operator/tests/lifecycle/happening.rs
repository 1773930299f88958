//! What users, agents, kubelets and nodes may do between two looks.

use godwit_crds::{
    ConditionType, MigrationPhase, Settlement, SourceReport, SourceState, TargetMemory, TargetReport,
    TargetState, condition,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use serde_json::json;

use crate::support::{source_says, target_says};
use crate::world::{World, delete};

/// What may happen between two looks.
#[derive(Clone, Copy, Debug)]
pub enum Happening {
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

pub fn happening() -> impl Strategy<Value = Happening> {
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

impl World {
    pub fn happen(&mut self, happening: Happening) {
        let agents_act = matches!(
            self.status().phase,
            MigrationPhase::Copying | MigrationPhase::Switching | MigrationPhase::Finishing
        );
        let source_agent_acts = agents_act && self.source_node_lives();
        let asked = self.status().phase == MigrationPhase::Preflight && self.status().plan.is_some();
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
            Happening::SourceAgentSteps if asked && self.source_node_lives() => {
                self.set(|status| status.source = Some(source_says(SourceState::Looked)));
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

    pub fn source_agent_steps(&mut self) {
        let overdue = self.now > self.status().plan.unwrap().deadline.0;
        let called_off = condition(&self.status().conditions, ConditionType::CalledOff)
            .is_some_and(|condition| condition.status == "True");
        let wants_out =
            self.observed.wants_cancel() || overdue || called_off || self.observed.target.is_none();
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
            Some(SourceState::Looked) | None => SourceState::Copying,
        };
        let warnings = self.status().source.map(|report| report.warnings);
        self.set(|status| {
            status.source = Some(SourceReport {
                warnings: warnings.unwrap_or_default(),
                ..source_says(next)
            });
        });
    }

    pub fn target_agent_steps(&mut self) {
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

    pub fn target_fills(&self) -> bool {
        let status = self.status();
        status
            .target
            .and_then(|target| target.memory)
            .is_some_and(|memory| !memory.filled)
    }
}

/// Bound to its node, with a parking container that runs.
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

/// Runs, and is ready.
fn run(pod: &mut Pod, now: Timestamp) {
    let running = json!({
        "phase": "Running", "startTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "redis", "image": "redis:8", "imageID": "", "ready": true, "started": true, "restartCount": 0, "state": {"running": {}}}]
    });
    pod.status = Some(serde_json::from_value(running).unwrap());
}
