//! The tasks that run, and the ways to reach them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use godwit_crds::PodMigration;
use tokio::sync::{mpsc, watch};

use crate::{kube_side::Role, peer::Caller, target::Link};

/// How a task is reached by the source's agent.
#[derive(Clone, Debug)]
pub(super) struct Ways {
    /// Takes connections on which the migration is talked about.
    pub(super) links: mpsc::Sender<Link>,
    /// Takes callers that want to bring memory.
    pub(super) lanes: mpsc::Sender<Caller>,
}

/// Why a caller has nothing to do with a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stranger {
    /// There is no such migration here.
    Unknown,
    /// The plan names another node.
    WrongNode,
}

#[derive(Debug)]
struct Entry {
    /// `None` once the object is gone.
    updates: Option<watch::Sender<Arc<PodMigration>>>,
    ways: Ways,
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
        ways: Ways,
    ) -> watch::Receiver<Arc<PodMigration>> {
        let plan = migration.status.as_ref().and_then(|status| status.plan.as_ref());
        let source_node = plan.map(|plan| plan.source_node.clone()).unwrap_or_default();
        let (sender, updates) = watch::channel(migration);
        self.map().insert(
            (role, uid.to_owned()),
            Entry {
                updates: Some(sender),
                ways,
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

    /// How the target's task of a migration is reached, if `node` is the one that may.
    pub(super) fn target_of(&self, uid: &str, node: &str) -> Result<Ways, Stranger> {
        let map = self.map();
        let entry = map
            .get(&(Role::Target, uid.to_owned()))
            .ok_or(Stranger::Unknown)?;
        if entry.source_node == node {
            Ok(entry.ways.clone())
        } else {
            Err(Stranger::WrongNode)
        }
    }

    fn map(&self) -> MutexGuard<'_, HashMap<(Role, String), Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
