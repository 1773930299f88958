//! Liveness probes of a pod that is frozen.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use godwit_crds::Verdict;
use serde_json::json;

use super::redis;
use crate::suite::failures::fault;
use crate::suite::failures::subject::Subject;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "impatient liveness probes kill nothing when a pod moves, nor when its freeze is rolled back",
    |lab| Box::pin(run(lab)),
);

/// How long the pod is frozen before that is rolled back; its probes allow seven and a half seconds.
const FROZEN: Duration = Duration::from_secs(2);

async fn run(lab: &Lab) -> Result<()> {
    let every_second = |probe: serde_json::Value| {
        let mut all = json!({"periodSeconds": 1, "failureThreshold": 8});
        if let (Some(all), Some(probe)) = (all.as_object_mut(), probe.as_object()) {
            all.extend(probe.clone());
        }
        all
    };
    let mut main = redis("app", 6379);
    main["livenessProbe"] = every_second(json!({"exec": {"command": ["redis-cli", "ping"]}}));
    main["readinessProbe"] = every_second(json!({"exec": {"command": ["redis-cli", "ping"]}}));
    let mut helper = redis("helper", 6380);
    helper["livenessProbe"] = every_second(json!({"tcpSocket": {"port": 6380}}));
    let pod = lab
        .pod("subject", Some("n1"), json!({"containers": [main, helper]}))
        .await?;
    let mut subject = Subject::of(lab, &pod, "n1").await?;

    fault::ask(lab.cluster(), "n1", "source.AwaitPrepared=hang:30")?;
    let migration = subject.departs().await?;
    fault::reached(lab, "n1").await?;
    tokio::time::sleep(FROZEN).await;
    migration.cancel().await?;
    subject.stays(&migration).await?;
    // Had a probe counted too much, kubelet would act on it now.
    tokio::time::sleep(FROZEN * 2).await;
    subject.untouched().await.context("after a rolled-back freeze")?;

    for _ in 0..4 {
        let status = subject.moves().await?;
        let check = status
            .preflight
            .iter()
            .find(|check| check.check == "LivenessProbe");
        let verdict = check.context("liveness probes are not checked")?.verdict;
        ensure!(verdict == Verdict::Pass, "{check:?}");
        tokio::time::sleep(FROZEN * 2).await;
        subject.untouched().await.context("after a move")?;
    }
    subject.end().await
}
