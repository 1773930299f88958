//! One pod, two migrations.

use anyhow::Result;
use godwit_crds::MigrationPhase;
use serde_json::json;

use super::refusal::refused;
use crate::migration::PATIENCE;
use crate::suite::failures::fault;
use crate::suite::failures::subject::Subject;
use crate::suite::{Behaviour, Lab};

pub(super) const SECOND: Behaviour = Behaviour::new(
    "a second migration of a pod is refused while the first is under way",
    |lab| Box::pin(second(lab)),
);

async fn second(lab: &Lab) -> Result<()> {
    let mut subject = Subject::start(lab, "subject", "n1").await?;
    fault::ask(lab.cluster(), "n1", "source.CopyFiles=hang:6")?;
    let first = subject.departs().await?;
    first.phase(MigrationPhase::Copying, PATIENCE).await?;
    let other = json!({"podName": "subject", "target": {"nodeName": "n3"}});
    let result = refused(lab, other, "AnotherMigrationOfPod", &[first.name(), "cancel"]).await;
    let arrived = subject.arrives(&first).await;
    fault::met(lab.cluster(), "n1")?;
    result?;
    arrived?;
    subject.end().await
}
