//! The tasks that run, and the ways to reach them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use godwit_crds::PodMigration;
use tokio::sync::{mpsc, watch};

use crate::{
    kube_side::Role,
    peer::{Receiver, Sender},
};

/// A connection that has been let in.
type Link = (Sender, Receiver);

#[derive(Debug)]
struct Entry {
    /// `None` once the object is gone.
    updates: Option<watch::Sender<Arc<PodMigration>>>,
    links: mpsc::Sender<Link>,
    source_node: String,
}

/// Every task, by role and UID.
#[derive(Debug, Default)]
pub(super) struct Roster(Mutex<HashMap<(Role, String), Entry>>);

impl Roster {
    /// Registers a task; gives what it follows its object by.
    pub(super) fn add(
        &self,
        role: Role,
        uid: &str,
        migration: Arc<PodMigration>,
        links: mpsc::Sender<Link>,
    ) -> watch::Receiver<Arc<PodMigration>> {
        let plan = migration.status.as_ref().and_then(|status| status.plan.as_ref());
        let source_node = plan.map(|plan| plan.source_node.clone()).unwrap_or_default();
        let (sender, updates) = watch::channel(migration);
        self.map().insert(
            (role, uid.to_owned()),
            Entry {
                updates: Some(sender),
                links,
                source_node,
            },
        );
        updates
    }

    /// Passes a new version on; false if there is no such task.
    pub(super) fn update(&self, role: Role, uid: &str, migration: &Arc<PodMigration>) -> bool {
        match self.map().get(&(role, uid.to_owned())) {
            Some(entry) => {
                if let Some(updates) = &entry.updates {
                    updates.send_replace(migration.clone());
                }
                true
            }
            None => false,
        }
    }

    /// The object is gone.
    pub(super) fn gone(&self, role: Role, migration: &PodMigration) {
        if let Some(uid) = &migration.metadata.uid {
            self.close(role, uid);
        }
    }

    /// The task's object does not exist (any more).
    pub(super) fn close(&self, role: Role, uid: &str) {
        if let Some(entry) = self.map().get_mut(&(role, uid.to_owned())) {
            entry.updates = None;
        }
    }

    /// The task has ended.
    pub(super) fn ended(&self, role: Role, uid: &str) {
        self.map().remove(&(role, uid.to_owned()));
    }

    /// True if there is such a task.
    pub(super) fn has(&self, role: Role, uid: &str) -> bool {
        self.map().contains_key(&(role, uid.to_owned()))
    }

    /// Where the target's task of a migration takes connections, if `node` is the one that may connect.
    pub(super) fn target_of(&self, uid: &str, node: &str) -> Option<mpsc::Sender<Link>> {
        let map = self.map();
        let entry = map.get(&(Role::Target, uid.to_owned()))?;
        (entry.source_node == node).then(|| entry.links.clone())
    }

    fn map(&self) -> MutexGuard<'_, HashMap<(Role, String), Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
