//! What every refusal has in common.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use godwit_crds::{PodMigrationStatus, Verdict};
use serde_json::Value;

use crate::migration::told;
use crate::suite::Lab;

/// "Within seconds", on a slow machine.
const SECONDS: Duration = Duration::from_secs(10);

/// Asks for a migration that must be refused by preflight for `reason`, with a message that holds all of `words`.
pub(in crate::suite) async fn refused(lab: &Lab, spec: Value, reason: &str, words: &[&str]) -> Result<()> {
    let began = Instant::now();
    let migration = lab.migrate_with(spec).await?;
    let status = migration.failed(SECONDS).await?;
    says(&status, reason, words)?;
    ensure!(
        status
            .preflight
            .iter()
            .any(|check| check.verdict == Verdict::Refuse && !check.message.is_empty()),
        "no check refused: {}",
        told(&status)
    );
    ensure!(
        status
            .plan
            .as_ref()
            .is_none_or(|plan| plan.target_pod_uid.is_none()),
        "a target pod was made: {}",
        told(&status)
    );
    println!(
        "        {reason} after {} ms: {}",
        began.elapsed().as_millis(),
        status.message.as_deref().unwrap_or_default()
    );
    Ok(())
}

/// Fails unless the status gives this reason and a message with all of these words.
pub(super) fn says(status: &PodMigrationStatus, reason: &str, words: &[&str]) -> Result<()> {
    ensure!(
        status.reason.as_deref() == Some(reason),
        "another reason than {reason}: {}",
        told(status)
    );
    let message = status.message.clone().unwrap_or_default();
    for word in words {
        ensure!(
            message.contains(word),
            "the message does not say `{word}`: {message}"
        );
    }
    Ok(())
}
