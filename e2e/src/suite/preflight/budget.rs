//! `spec.freezeBudget`: before the freeze, and in it.

use anyhow::{Context, Result, ensure};
use godwit_crds::Verdict;
use serde_json::json;

use crate::migration::told;
use crate::suite::failures::fault;
use crate::suite::failures::subject::Subject;
use crate::suite::failures::traces::Traces;
use crate::suite::refusals::refused;
use crate::suite::{Behaviour, Lab};

pub(super) const TOO_SMALL: Behaviour = Behaviour::new(
    "a freeze budget that no freeze could keep, and a time that no copy could, are refused before anything is made",
    |lab| Box::pin(too_small(lab)),
);
pub(super) const OVERRUN: Behaviour = Behaviour::new(
    "a freeze that becomes longer than its budget is rolled back",
    |lab| Box::pin(overrun(lab)),
);

async fn too_small(lab: &Lab) -> Result<()> {
    let subject = Subject::start(lab, "subject", "n1").await?;
    let spec = json!({"podName": "subject", "target": {"nodeName": "n2"}, "freezeBudget": "1ms"});
    refused(lab, spec, "FreezeBudgetExceeded", &["1 ms", "spec.freezeBudget"]).await?;
    let mut slow =
        json!({"podName": "subject", "target": {"nodeName": "n2"}, "bandwidth": "1k", "timeout": "1m"});
    refused(lab, slow.clone(), "TimeTooShort", &["spec.timeout", "bandwidth"]).await?;
    // Who knows better may try.
    slow["accept"] = json!(["TimeTooShort"]);
    slow["dryRun"] = json!(true);
    let ended = lab.migrate_with(slow).await?.succeeded().await?;
    let status = ended.status.unwrap_or_default();
    let check = status.preflight.iter().find(|it| it.check == "TimeTooShort");
    let verdict = check.map(|check| check.verdict);
    ensure!(verdict == Some(Verdict::Warn), "{check:?}");
    subject.untouched().await?;
    subject.end().await
}

async fn overrun(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    // Before the freeze nobody can know.
    fault::ask(lab.cluster(), "n1", "source.AwaitPrepared=hang:20")?;
    let spec = json!({"podName": "subject", "target": {"nodeName": "n2"}, "freezeBudget": "3s"});
    let migration = lab.migrate_with(spec.clone()).await?;
    let stayed = subject.stays(&migration).await;
    fault::met(lab.cluster(), "n1")?;
    let status = stayed?;
    println!("        {}", told(&status));
    ensure!(
        status.reason.as_deref() == Some("FreezeBudgetExceeded"),
        "another reason: {}",
        told(&status)
    );
    before.no_more(lab).await?;
    let migration = lab.migrate_with(spec).await?;
    subject.arrives(&migration).await.context("within the budget")?;
    subject.end().await
}
