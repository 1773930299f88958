//! What this agent answers to a target that asks how a migration ended. The journal is the truth; this is its copy in memory.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// How a migration whose source is here stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not decided yet.
    Undecided,
    /// The target is the workload.
    Committed,
    /// The source is the workload.
    Aborted,
}

/// Every migration whose source is on this node and that is not forgotten yet, by UID.
#[derive(Debug, Default)]
pub struct Verdicts(Mutex<HashMap<String, Answer>>);

impl Verdicts {
    /// Remembers; called after the journal has been written.
    pub fn set(&self, migration: &str, answer: Answer) {
        self.map().insert(migration.to_owned(), answer);
    }

    /// Forgets a migration that nobody can ask about any more.
    pub fn remove(&self, migration: &str) {
        self.map().remove(migration);
    }

    /// The answer; `None` for a migration that has left no trace.
    pub fn get(&self, migration: &str) -> Option<Answer> {
        self.map().get(migration).copied()
    }

    fn map(&self) -> MutexGuard<'_, HashMap<String, Answer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
