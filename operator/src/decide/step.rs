//! A decision while it is being made.

use std::time::Duration;

use godwit_crds::{
    ConditionStatus, ConditionType, MIGRATION_FINALIZER, MigrationPhase, Plan, PodMigration,
    PodMigrationStatus, Transition, condition, set_condition,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use kube::ResourceExt;

use super::timings;
use crate::facts::Observed;
use crate::owner::Withheld;

/// How long a message in the status may be; kubelet's and CRIU's can be pages.
const MESSAGE_LIMIT: usize = 2_000;

/// Something to be done in the cluster.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Puts the finalizer on the migration, before anything that would have to be undone.
    AddFinalizer,
    /// Takes it off again.
    RemoveFinalizer,
    /// Creates the target pod.
    CreateTarget(Box<Pod>),
    /// Deletes the target pod of that name and UID, which has run nothing of the user's.
    DeleteTarget {
        /// Name of the pod.
        name: String,
        /// Only this very pod.
        uid: String,
        /// Seconds; zero removes the object without waiting for kubelet.
        grace: u32,
    },
    /// Marks the target pod as the workload, so that its parking containers end at once from now on.
    MarkTarget {
        /// Name of the pod.
        name: String,
        /// Only this very pod.
        uid: String,
    },
    /// Gives the source pod the lowest deletion cost, so that its owner, with one pod too many, deletes this one. Only ever after
    /// the commit.
    CostSource {
        /// Name of the pod.
        name: String,
        /// Only this very pod.
        uid: String,
    },
    /// Takes from the source pod what makes it its owner's, so that its end is none of the owner's. Only ever after the commit.
    ReleaseSource {
        /// Name of the pod.
        name: String,
        /// Only this very pod.
        uid: String,
        /// What to take.
        take: Box<Withheld>,
    },
    /// Gives the target pod what makes it its owner's. Only ever after the commit.
    AdoptTarget {
        /// Name of the pod.
        name: String,
        /// Only this very pod.
        uid: String,
        /// What to give.
        give: Box<Withheld>,
    },
    /// Deletes the target pod, which runs, with the grace that the user gave it: its owner is gone. Only ever after the commit.
    RetireTarget {
        /// Name of the pod.
        name: String,
        /// Only this very pod.
        uid: String,
    },
    /// Puts the label on the migration by which its pod's name is guarded, or takes it off.
    Guard(bool),
    /// Makes a leg.
    CreateLeg(Box<PodMigration>),
    /// Sets `spec.cancel` of a leg.
    CancelLeg {
        /// Name of the leg.
        name: String,
        /// Only this very leg.
        uid: String,
    },
    /// Deletes a pod at once that somebody else has made under the name of a pod whose workload runs in a stand-in.
    ClearName {
        /// Name of the pod.
        name: String,
        /// Only this very pod.
        uid: String,
    },
    /// Deletes the source pod, which is frozen for good. Only ever after the commit.
    DeleteSource {
        /// Name of the pod.
        name: String,
        /// Only this very pod.
        uid: String,
        /// Seconds; zero removes the object without waiting for kubelet.
        grace: u32,
    },
}

/// On which object an event is reported, besides the migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The source pod.
    Source,
    /// The target pod.
    Target,
}

/// An event to be recorded on the migration and on one of its pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The pod.
    pub on: On,
    /// True for something that a user should look at.
    pub warning: bool,
    /// `PascalCase`.
    pub reason: String,
    /// One or two sentences.
    pub message: String,
}

/// What is to be done, and the status once it has been done.
#[derive(Clone, Debug)]
pub struct Decision {
    /// In this order.
    pub actions: Vec<Action>,
    /// The whole status; the agents' parts are as they were observed.
    pub status: PodMigrationStatus,
    /// Events.
    pub announcements: Vec<Announcement>,
    /// Look again after this long, even if nothing is seen to change.
    pub look_again: Option<Duration>,
}

pub(super) struct Step<'a> {
    pub(super) observed: &'a Observed,
    pub(super) now: Timestamp,
    pub(super) status: PodMigrationStatus,
    actions: Vec<Action>,
    announcements: Vec<Announcement>,
    look_again: Option<Duration>,
}

impl<'a> Step<'a> {
    pub(super) fn new(observed: &'a Observed, now: Timestamp) -> Self {
        let status = observed.migration.status.clone().unwrap_or_default();
        Self {
            observed,
            now,
            status,
            actions: Vec::new(),
            announcements: Vec::new(),
            look_again: None,
        }
    }

    pub(super) fn decided(self) -> Decision {
        Decision {
            actions: self.actions,
            status: self.status,
            announcements: self.announcements,
            look_again: self.look_again,
        }
    }

    pub(super) fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    /// Asks for another look after `wait`, or earlier if an earlier one was asked for.
    pub(super) fn look_again(&mut self, wait: Duration) {
        self.look_again = Some(self.look_again.map_or(wait, |before| before.min(wait)));
    }

    pub(super) fn announce(&mut self, on: On, warning: bool, reason: &str, message: &str) {
        self.announcements.push(Announcement {
            on,
            warning,
            reason: reason.to_owned(),
            message: shortened(message.to_owned()),
        });
    }

    /// Says what is being waited for, without a transition. Announces it only when it is news.
    pub(super) fn waiting(&mut self, reason: &str, message: String, warning: bool) {
        if warning && self.status.reason.as_deref() != Some(reason) {
            self.announce(On::Source, true, reason, &message);
        }
        self.status.reason = Some(reason.to_owned());
        self.status.message = Some(shortened(message));
    }

    /// Enters a phase. Phases are ordered, and one that is not ahead is left alone.
    pub(super) fn enter(&mut self, phase: MigrationPhase, reason: &str, message: String) {
        if !is_ahead(self.status.phase, phase) {
            return;
        }
        self.status.phase = phase;
        self.status.reason = Some(reason.to_owned());
        self.status.message = Some(shortened(message));
        self.status.transitions.push(Transition {
            phase,
            at: MicroTime(self.now),
        });
        self.status.timings = timings::of(&self.status);
    }

    pub(super) fn condition(
        &mut self,
        of: ConditionType,
        status: impl Into<ConditionStatus>,
        reason: &str,
        message: &str,
    ) {
        set_condition(
            &mut self.status.conditions,
            of,
            status.into(),
            reason,
            &shortened(message.to_owned()),
            &Time(self.now),
        );
    }

    /// True once a failure has been written down, also if it is not undone yet.
    pub(super) fn is_failing(&self) -> bool {
        condition(&self.status.conditions, ConditionType::Succeeded)
            .is_some_and(|condition| condition.status == "False")
    }

    /// True from the commit on; there is no failure any more.
    pub(super) fn is_committed(&self) -> bool {
        condition(&self.status.conditions, ConditionType::Committed)
            .is_some_and(|condition| condition.status == "True")
    }

    /// Writes a failure down. It ends the migration at once where nothing has been made yet; otherwise [`super::undo`]
    /// does, in later reconciles. Does nothing after the commit.
    pub(super) fn fail(&mut self, reason: &str, message: String) {
        if self.is_committed() || self.status.phase.is_final() {
            return;
        }
        let reason = if reason.is_empty() {
            crate::reason::ROLLED_BACK
        } else {
            reason
        };
        self.condition(ConditionType::Succeeded, false, reason, &message);
        self.announce(On::Source, true, reason, &message);
        if matches!(
            self.status.phase,
            MigrationPhase::Pending | MigrationPhase::Preflight
        ) {
            self.enter(MigrationPhase::Failed, reason, message);
            self.release();
        } else {
            self.status.reason = Some(reason.to_owned());
            self.status.message = Some(shortened(message));
        }
    }

    /// Lets the object go: a migration that is over needs nobody's care when it is deleted.
    pub(super) fn release(&mut self) {
        if self.has_finalizer() {
            self.act(Action::RemoveFinalizer);
        }
    }

    pub(super) fn has_finalizer(&self) -> bool {
        self.observed
            .migration
            .finalizers()
            .iter()
            .any(|finalizer| finalizer == MIGRATION_FINALIZER)
    }

    pub(super) fn plan(&self) -> Option<&Plan> {
        self.status.plan.as_ref()
    }

    /// Time since the beginning of a phase; zero if it has not begun.
    pub(super) fn since(&self, phase: MigrationPhase) -> Duration {
        let began = self
            .status
            .transitions
            .iter()
            .find(|transition| transition.phase == phase);
        began.map_or(Duration::ZERO, |began| elapsed(began.at.0, self.now))
    }

    /// Time since the deadline, or `None` before it.
    pub(super) fn overdue(&self) -> Option<Duration> {
        let deadline = self.plan()?.deadline.0;
        (self.now >= deadline).then(|| elapsed(deadline, self.now))
    }

    /// Time until the deadline; zero after it.
    pub(super) fn until_deadline(&self) -> Duration {
        self.plan()
            .map_or(Duration::ZERO, |plan| elapsed(self.now, plan.deadline.0))
    }
}

/// From one instant to a later one; zero if it is not later.
pub(super) fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

fn rank(phase: MigrationPhase) -> u8 {
    match phase {
        MigrationPhase::Pending => 0,
        MigrationPhase::Preflight => 1,
        MigrationPhase::Preparing => 2,
        MigrationPhase::Copying => 3,
        MigrationPhase::Switching => 4,
        MigrationPhase::Finishing => 5,
        MigrationPhase::Succeeded | MigrationPhase::Failed => 6,
    }
}

fn is_ahead(from: MigrationPhase, to: MigrationPhase) -> bool {
    let skips_commit = from == MigrationPhase::Finishing && to == MigrationPhase::Failed;
    rank(to) > rank(from) && !skips_commit
}

fn shortened(mut message: String) -> String {
    if let Some((end, _)) = message.char_indices().nth(MESSAGE_LIMIT) {
        message.truncate(end);
        message.push('…');
    }
    message
}
