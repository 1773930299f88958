//! The migrations that concern this node, as they change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use godwit_crds::PodMigration;
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::subscribers::Subscribers;

/// This node's part in a migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The pod leaves it.
    Source,
    /// The pod comes to it.
    Target,
}

/// A change to a migration that concerns this node.
#[derive(Debug, Clone)]
pub enum MigrationEvent {
    /// It is there, as the snapshot says; sent for every change, and for all that are there to a new listener. One of
    /// which this node were both ends is sent once for each role.
    Applied {
        /// This node's part in it.
        role: Role,
        /// Snapshot.
        migration: Arc<PodMigration>,
    },
    /// The object is gone, for this role.
    Deleted {
        /// The part that this node had in it.
        role: Role,
        /// Last snapshot.
        migration: Arc<PodMigration>,
    },
    /// Everything that is there has been sent, for both roles: what is not known by now does not exist. Sent once, and to
    /// a new listener after its snapshots.
    Synced,
}

/// The two watches (by `status.plan.sourceNode` and `status.plan.targetNode`), merged.
#[derive(Debug, Clone)]
pub struct MigrationFeed {
    shared: Arc<Subscribers<FeedState, MigrationEvent>>,
}

impl MigrationFeed {
    /// Starts watching for a node; ends only with the token. After any error it goes on with a growing wait.
    pub fn start(client: &Client, node: &str, ended: &CancellationToken) -> Self {
        let shared = Arc::new(Subscribers::new());
        for (role, field) in [
            (Role::Source, "status.plan.sourceNode"),
            (Role::Target, "status.plan.targetNode"),
        ] {
            let api: Api<DeserializeGuard<PodMigration>> = Api::all(client.clone());
            let config = watcher::Config::default().fields(&format!("{field}={node}"));
            tokio::spawn(follow(api, config, role, Arc::clone(&shared), ended.clone()));
        }
        Self { shared }
    }

    /// A new listener: all that is there, then every change.
    pub fn subscribe(&self) -> UnboundedReceiver<MigrationEvent> {
        self.shared.subscribe(FeedState::replay)
    }

    /// The newest snapshot of the migration with this UID, if it concerns this node.
    pub fn get(&self, uid: &str) -> Option<Arc<PodMigration>> {
        self.shared.read(|state| {
            [Role::Source, Role::Target]
                .iter()
                .find_map(|role| state.known.get(&(*role, uid.to_owned())).cloned())
        })
    }
}

async fn follow(
    api: Api<DeserializeGuard<PodMigration>>,
    config: watcher::Config,
    role: Role,
    shared: Arc<Subscribers<FeedState, MigrationEvent>>,
    ended: CancellationToken,
) {
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    loop {
        let event = tokio::select! {
            () = ended.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(event)) => shared.update(|state| state.take(role, unguard(event))),
            Some(Err(error)) => info!(?role, %error, "watch of migrations interrupted; it goes on by itself"),
            None => return,
        }
    }
}

/// An object that cannot be read (a newer API, for example) is one that is left alone, not the end of the watch.
fn unguard(event: Event<DeserializeGuard<PodMigration>>) -> Event<Option<PodMigration>> {
    let read = |object: DeserializeGuard<PodMigration>| match object.0 {
        Ok(migration) => Some(migration),
        Err(invalid) => {
            let name = invalid.metadata.name.as_deref().unwrap_or_default();
            warn!(name, error = %invalid.error, "PodMigration cannot be read");
            None
        }
    };
    match event {
        Event::Apply(object) => Event::Apply(read(object)),
        Event::Delete(object) => Event::Delete(read(object)),
        Event::InitApply(object) => Event::InitApply(read(object)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}

/// What is known, and how watch events change it.
#[derive(Debug, Default)]
struct FeedState {
    known: BTreeMap<(Role, String), Arc<PodMigration>>,
    /// UIDs seen since a watch began anew; what is not among them at its end has gone in between.
    listed: BTreeMap<Role, BTreeSet<String>>,
    complete: BTreeSet<Role>,
}

impl FeedState {
    fn take(&mut self, role: Role, event: Event<Option<PodMigration>>) -> Vec<MigrationEvent> {
        match event {
            Event::Init => {
                self.listed.insert(role, BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(Some(migration)) => {
                if let (Some(listed), Some(uid)) = (self.listed.get_mut(&role), &migration.metadata.uid) {
                    listed.insert(uid.clone());
                }
                self.apply(role, migration)
            }
            Event::Apply(Some(migration)) => self.apply(role, migration),
            Event::Delete(Some(migration)) => {
                let uid = migration.metadata.uid.clone().unwrap_or_default();
                let known = self.known.remove(&(role, uid));
                known
                    .map(|_| MigrationEvent::Deleted {
                        role,
                        migration: Arc::new(migration),
                    })
                    .into_iter()
                    .collect()
            }
            Event::InitDone => self.complete(role),
            Event::Apply(None) | Event::InitApply(None) | Event::Delete(None) => Vec::new(),
        }
    }

    fn apply(&mut self, role: Role, migration: PodMigration) -> Vec<MigrationEvent> {
        let Some(uid) = migration.metadata.uid.clone() else {
            return Vec::new();
        };
        let migration = Arc::new(migration);
        let old = self.known.insert((role, uid), Arc::clone(&migration));
        // A watch that begins anew lists what is known already.
        if old.is_some_and(|old| old.metadata.resource_version == migration.metadata.resource_version) {
            return Vec::new();
        }
        vec![MigrationEvent::Applied { role, migration }]
    }

    fn complete(&mut self, role: Role) -> Vec<MigrationEvent> {
        let Some(listed) = self.listed.remove(&role) else {
            return Vec::new();
        };
        let gone: Vec<_> = self
            .known
            .keys()
            .filter(|(of, uid)| *of == role && !listed.contains(uid))
            .cloned()
            .collect();
        let mut events: Vec<_> = gone
            .into_iter()
            .filter_map(|key| self.known.remove(&key))
            .map(|migration| MigrationEvent::Deleted { role, migration })
            .collect();
        if self.complete.insert(role) && self.complete.len() == 2 {
            events.push(MigrationEvent::Synced);
        }
        events
    }

    fn replay(&self) -> Vec<MigrationEvent> {
        let known = self.known.iter();
        let mut events: Vec<_> = known
            .map(|((role, _), migration)| MigrationEvent::Applied {
                role: *role,
                migration: Arc::clone(migration),
            })
            .collect();
        if self.complete.len() == 2 {
            events.push(MigrationEvent::Synced);
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::unnecessary_wraps, reason = "the form in which events have it")]
    fn migration(uid: &str, version: &str) -> Option<PodMigration> {
        let mut migration = PodMigration::new(
            uid,
            godwit_crds::PodMigrationSpec {
                pod_name: "redis-0".to_owned(),
                ..godwit_crds::PodMigrationSpec::default()
            },
        );
        migration.metadata.uid = Some(uid.to_owned());
        migration.metadata.resource_version = Some(version.to_owned());
        Some(migration)
    }

    fn told(events: &[MigrationEvent]) -> Vec<String> {
        let name = |migration: &PodMigration| migration.metadata.uid.clone().unwrap();
        events
            .iter()
            .map(|event| match event {
                MigrationEvent::Applied { role, migration } => format!("+{role:?} {}", name(migration)),
                MigrationEvent::Deleted { role, migration } => format!("-{role:?} {}", name(migration)),
                MigrationEvent::Synced => "synced".to_owned(),
            })
            .collect()
    }

    #[test]
    fn both_watches_must_have_listed_before_all_is_known() {
        let mut state = FeedState::default();
        let mut take = |role, event| told(&state.take(role, event));
        assert!(take(Role::Source, Event::Init).is_empty());
        assert_eq!(
            take(Role::Source, Event::InitApply(migration("a", "1"))),
            ["+Source a"]
        );
        assert!(take(Role::Source, Event::InitDone).is_empty());
        assert!(take(Role::Target, Event::Init).is_empty());
        assert_eq!(take(Role::Target, Event::InitDone), ["synced"]);
        assert_eq!(told(&state.replay()), ["+Source a", "synced"]);
    }

    #[test]
    fn what_went_while_the_watch_was_away_is_told() {
        let mut state = FeedState::default();
        for event in [
            Event::Init,
            Event::InitApply(migration("a", "1")),
            Event::InitApply(migration("b", "1")),
            Event::InitDone,
        ] {
            state.take(Role::Source, event);
        }
        state.take(Role::Target, Event::Apply(migration("a", "1")));
        let mut take = |role, event| told(&state.take(role, event));
        take(Role::Source, Event::Init);
        assert!(take(Role::Source, Event::InitApply(migration("b", "1"))).is_empty());
        // Gone as source; as target it is another watch's business.
        assert_eq!(take(Role::Source, Event::InitDone), ["-Source a"]);
        assert_eq!(
            take(Role::Source, Event::Apply(migration("b", "2"))),
            ["+Source b"]
        );
        assert_eq!(
            take(Role::Source, Event::Delete(migration("b", "3"))),
            ["-Source b"]
        );
        assert!(take(Role::Source, Event::Delete(migration("b", "3"))).is_empty());
        assert_eq!(
            take(Role::Target, Event::Delete(migration("a", "4"))),
            ["-Target a"]
        );
    }

    #[test]
    fn an_unreadable_object_changes_nothing() {
        let mut state = FeedState::default();
        assert!(state.take(Role::Source, Event::Apply(None)).is_empty());
        assert!(state.known.is_empty());
    }

    #[test]
    fn listeners_get_the_state_first_and_changes_after() {
        let shared = Subscribers::<FeedState, MigrationEvent>::new();
        shared.update(|state| state.take(Role::Source, Event::Apply(migration("a", "1"))));
        let mut listener = shared.subscribe(FeedState::replay);
        shared.update(|state| state.take(Role::Source, Event::Apply(migration("a", "2"))));
        let mut events = Vec::new();
        while let Ok(event) = listener.try_recv() {
            events.push(event);
        }
        assert_eq!(told(&events), ["+Source a", "+Source a"]);
    }
}
