//! `spec.accept`: a risk that its user knows.

use anyhow::{Context, Result, ensure};
use godwit_crds::Verdict;
use serde_json::json;

use crate::suite::failures::subject::{Subject, redis_container};
use crate::suite::refusals::refused;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "an accepted refusal is a warning, and the pod moves without its postStart hook",
    |lab| Box::pin(run(lab)),
);

async fn run(lab: &Lab) -> Result<()> {
    let mut container = redis_container();
    container["lifecycle"] = json!({"postStart": {"exec": {"command": ["true"]}}});
    let pod = lab
        .pod("subject", Some("n1"), json!({"containers": [container]}))
        .await?;
    let mut subject = Subject::of(lab, &pod, "n1").await?;
    let spec = json!({"podName": "subject", "target": {"nodeName": "n2"}});
    refused(
        lab,
        spec.clone(),
        "PostStartHookUnsupported",
        &["redis", "PostStartHook in spec.accept"],
    )
    .await?;
    subject.untouched().await?;
    let mut accepting = spec;
    accepting["accept"] = json!(["PostStartHook"]);
    let migration = lab.migrate_with(accepting).await?;
    let status = subject.arrives(&migration).await?;
    let check = status.preflight.iter().find(|it| it.check == "PostStartHook");
    let check = check.context("the check is not in the list")?;
    ensure!(
        check.verdict == Verdict::Warn && check.message.contains("accepted"),
        "{check:?}"
    );
    let target = subject.pod().await?;
    let hooked = target.spec.iter().flat_map(|spec| &spec.containers);
    ensure!(
        hooked.into_iter().all(|it| it.lifecycle.is_none()),
        "the target has the hook"
    );
    subject.end().await
}
