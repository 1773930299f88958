//! Taking away what a run made, however it ended.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::file_lock::FileLock;
use crate::paths;

use super::network;
use super::state::Ledger;

/// Starting takes minutes on a bare machine; `down` does not wait for it but says who holds the lock.
const PATIENCE: Duration = Duration::from_mins(1);

/// The lock under which the cluster is started and taken down.
pub fn lock(patience: Duration) -> Result<FileLock> {
    // Beside the state folder, which is removed.
    FileLock::acquire(&paths::state_dir().with_extension("lock"), patience)
}

/// Remove the cluster, complete or not. Says whether there was one. Fails if something cannot be removed; the ledger
/// is kept then, and the next call tries again.
pub fn down() -> Result<bool> {
    let _lock = lock(PATIENCE)?;
    remove()
}

/// The same for a caller that holds the lock.
pub fn remove() -> Result<bool> {
    let state = paths::state_dir();
    let ledger = Ledger::read()?;
    if let Some(ledger) = &ledger {
        for groups in &ledger.groups {
            groups.remove()?;
        }
        network::remove(&ledger.namespaces, &ledger.links, ledger.netns_was_mounted)?;
    }
    if state.exists() {
        std::fs::remove_dir_all(&state).with_context(|| format!("remove {}", state.display()))?;
    }
    Ok(ledger.is_some())
}
