//! When a migration is to end although nothing went wrong: cancelled, deleted, or out of time.

use std::sync::Arc;

use godwit_crds::PodMigration;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::failure::Failure;

/// Why the object says that its migration is to end; pure.
pub fn wish(migration: &PodMigration) -> Option<(&'static str, &'static str)> {
    if migration.metadata.deletion_timestamp.is_some() {
        Some(("Deleted", "the PodMigration was deleted before the commit"))
    } else if migration.spec.cancel {
        Some(("Cancelled", "spec.cancel was set before the commit"))
    } else {
        None
    }
}

/// Waits until the migration is called off, and says why; for ever, if it never is.
pub async fn called_off(
    updates: &mut watch::Receiver<Arc<PodMigration>>,
    deadline: Instant,
    step: impl Fn() -> String,
) -> Failure {
    loop {
        if let Some((reason, message)) = wish(&updates.borrow_and_update()) {
            return Failure::new(step().as_str(), reason, message);
        }
        tokio::select! {
            () = sleep_until(deadline) => {
                let message = "spec.timeout passed before the commit; allow more time, or look at what this step waited for";
                return Failure::new(step().as_str(), "TimedOut", message);
            }
            changed = updates.changed() => if changed.is_err() {
                return Failure::new(step().as_str(), "Deleted", "the PodMigration is gone");
            }
        }
    }
}
