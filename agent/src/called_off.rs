//! When a migration is to end although nothing went wrong: cancelled, deleted, or out of time.

use std::sync::Arc;

use godwit_crds::{ConditionType, PodMigration, condition};
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
    } else if is_called_off(migration) {
        Some((
            "SourceGone",
            "the source pod ended, or was deleted by its owner or a user, before the commit",
        ))
    } else {
        None
    }
}

/// True when the operator has seen the source go.
fn is_called_off(migration: &PodMigration) -> bool {
    let conditions = migration
        .status
        .as_ref()
        .map(|status| status.conditions.as_slice());
    condition(conditions.unwrap_or_default(), ConditionType::CalledOff)
        .is_some_and(|condition| condition.status == "True")
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn says(conditions: &serde_json::Value, cancel: bool) -> Option<&'static str> {
        let migration = json!({
            "apiVersion": "godwit.dev/v1alpha1", "kind": "PodMigration", "metadata": {"name": "m"},
            "spec": {"podName": "p", "cancel": cancel}, "status": {"phase": "Copying", "conditions": conditions},
        });
        wish(&serde_json::from_value(migration).unwrap()).map(|(reason, _)| reason)
    }

    fn condition(of: &str, status: &str) -> serde_json::Value {
        json!([{"type": of, "status": status, "reason": "R", "message": "m", "lastTransitionTime": "2027-01-15T08:00:00Z"}])
    }

    #[test]
    fn the_user_and_the_operator_can_call_a_migration_off() {
        assert_eq!(says(&json!([]), false), None);
        assert_eq!(says(&condition("Accepted", "True"), false), None);
        assert_eq!(says(&condition("CalledOff", "False"), false), None);
        assert_eq!(says(&condition("CalledOff", "True"), false), Some("SourceGone"));
        assert_eq!(says(&condition("CalledOff", "True"), true), Some("Cancelled"));
    }
}
