//! A freeze that may not be as long as it would have to be.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::writer::Writer;
use crate::migration::told;
use crate::suite::failures::traces::Traces;
use crate::suite::{Behaviour, Lab};

pub(super) const TOO_FAST: Behaviour = Behaviour::new(
    "a pod that writes faster than the freeze budget allows stays, whole and untracked",
    |lab| Box::pin(too_fast(lab)),
);
pub(super) const TOO_SMALL: Behaviour = Behaviour::new(
    "a freeze budget that no freeze could keep is refused, and one that is ample is kept to",
    |lab| Box::pin(too_small(lab)),
);

async fn too_fast(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    // It writes its memory several times in a second; what it writes cannot be compressed.
    let mut writer = Writer::start(lab, "n1", &["memory=384M", "rate=max", "threads=1"]).await?;
    // Memory alone would need longer than that at any speed which this machine has; a freeze's fixed costs do not.
    let spec = json!({"memory": "PreCopy", "freezeBudget": "400ms"});
    let migration = writer.departs(spec).await?;
    let status = writer.stays(&migration).await?;
    println!("        {}", told(&status));
    ensure!(
        matches!(
            status.reason.as_deref(),
            Some("DirtyRateTooHigh" | "FreezeBudgetExceeded")
        ),
        "another reason: {}",
        told(&status)
    );
    let message = status.message.clone().unwrap_or_default();
    ensure!(message.contains("freezeBudget"), "no cure is named: {message}");
    before.no_more(lab).await?;
    writer
        .moves(json!({"memory": "PreCopy"}))
        .await
        .context("without a budget")?;
    Ok(())
}

async fn too_small(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut writer = Writer::start(lab, "n1", &["memory=32M", "rate=1M"]).await?;
    let migration = writer
        .departs(json!({"memory": "PreCopy", "freezeBudget": "1ms"}))
        .await?;
    let status = writer.stays(&migration).await?;
    println!("        {}", told(&status));
    ensure!(
        status.reason.as_deref() == Some("FreezeBudgetExceeded"),
        "another reason: {}",
        told(&status)
    );
    before.no_more(lab).await?;
    writer
        .moves(json!({"memory": "PreCopy", "freezeBudget": "20s"}))
        .await
        .context("with an ample budget")?;
    Ok(())
}
