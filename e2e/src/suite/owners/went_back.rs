//! The end of a migration that was not committed.

use anyhow::{Context, Result, ensure};
use godwit_crds::PodMigrationStatus;

use crate::migration::told;
use crate::suite::Lab;
use crate::suite::failures::subject::gone;

/// Fails unless the migration failed for that reason and its target pod is gone.
pub(super) async fn went_back(lab: &Lab, status: PodMigrationStatus, reason: &str) -> Result<()> {
    ensure!(
        status.reason.as_deref() == Some(reason),
        "another reason: {}",
        told(&status)
    );
    let target = status.plan.and_then(|plan| plan.target_pod_name);
    gone(lab, &target.context("no target")?).await
}
