//! Migrations of pods that must keep their name: the pods of a StatefulSet.
//!
//! A name is free only when the object that has it is gone. What comes after that for a new pod (a sandbox, its network, its
//! containers) takes seconds, which would all be freeze, and the workload would be nowhere meanwhile but in images. So the pod
//! moves in two ordinary migrations, *legs*, each of which can be undone until it commits:
//!
//! ```text
//! redis-0 (source) ── away ──► redis-0-x7k2p, the stand-in ── home ──► redis-0 (destination)
//! ```
//!
//! The user's migration, the *parent*, makes the legs as `PodMigration`s of its own and follows them; the code that runs a
//! migration runs a leg, and asks [`Task`] for the little that differs. From before the first leg until the second one commits
//! the parent guards the name: an admission policy of the chart keeps everybody else from creating such a pod, for the
//! StatefulSet would.
//!
//! Pure; `observe` fetches, `decide::relay` decides.

mod leg;
mod role;
mod route;

use godwit_crds::{GUARD_LABEL, Leg, LegReport, MIGRATION_UID_ANNOTATION, PodMigration};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::facts::Observed;
use crate::owner::{self, Member};
use crate::target_pod;
use crate::unlike::Avoid;

pub use leg::{build, is_leg_of, name as leg_name, planned};
pub use role::{Role, parent_reference, role};
pub use route::route;

/// What is known of a parent besides the pod that has the name (the source of what was observed) and the stand-in (its target).
#[derive(Clone, Debug, Default)]
pub struct Relay {
    /// The leg that is last in the status, if its object is there.
    pub leg: Option<PodMigration>,
}

/// What a migration does with its pod.
#[derive(Clone, Debug, PartialEq)]
pub enum Task {
    /// Moves it to a pod of another name.
    Move,
    /// Moves it in legs.
    Relay(Member),
    /// Is the leg from that pod to its stand-in.
    Away(Member),
    /// Is the leg from a stand-in to that pod.
    Home(Member),
    /// Is a leg home, and its source no stand-in.
    Lost,
}

impl Task {
    /// Of a migration with that role and source.
    pub fn of(role: &Role, source: &Pod) -> Self {
        match (role.leg(), Member::meant_by(source)) {
            (None, None) => Self::Move,
            (None, Some(member)) => Self::Relay(member),
            (Some(Leg::Away), Some(member)) => Self::Away(member),
            (Some(Leg::Home), Some(member)) if Member::from(source).is_some() => Self::Home(member),
            (Some(_), _) => Self::Lost,
        }
    }

    /// Name of the pod to which it leads from that source.
    pub fn target_name(&self, source: &Pod, uid: &str) -> String {
        match self {
            Self::Relay(member) | Self::Home(member) => member.name.clone(),
            Self::Move | Self::Away(_) | Self::Lost => target_pod::name(source, uid),
        }
    }
}

/// The pod that this migration would make of that source; of a parent, the one that its next leg would make.
pub fn target(observed: &Observed, source: &Pod) -> Pod {
    let (migration, owner) = (&observed.migration, observed.owner.as_ref());
    let mut target = match Task::of(&observed.role, source) {
        Task::Relay(member) if is_stand_in(source) => owner::home_of(source, &member, migration),
        Task::Home(member) => owner::home_of(source, &member, migration),
        Task::Relay(member) | Task::Away(member) => owner::stand_in_for(source, &member, migration, owner),
        Task::Move | Task::Lost => owner::target_of(source, migration, owner),
    };
    let node = source.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    Avoid::of(observed, node.unwrap_or_default()).apply(&mut target);
    target
}

/// True for a pod that runs another one's workload.
pub fn is_stand_in(pod: &Pod) -> bool {
    Member::from(pod).is_some()
}

/// True while the migration keeps everybody else from creating a pod of its pod's name.
pub fn guards(migration: &PodMigration) -> bool {
    migration.labels().get(GUARD_LABEL).map(String::as_str) == Some("true")
}

/// What a parent of that source begins with: a leg away, or, where the source is a stand-in, the one that has made it.
pub fn first(source: &Pod, parent: &PodMigration) -> LegReport {
    let maker = source.labels().get(godwit_crds::MIGRATION_LABEL).cloned();
    let uid = source.annotations().get(MIGRATION_UID_ANNOTATION).cloned();
    match (is_stand_in(source), maker) {
        (true, Some(migration)) => LegReport {
            leg: Leg::Away,
            migration,
            uid,
            pod: source.metadata.name.clone(),
            freeze: None,
        },
        _ => planned(parent, Leg::Away, 0),
    }
}
