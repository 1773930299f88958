//! What `spec.restartContainers` and probes make no sense of.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{redis, sidecar};
use crate::suite::failures::subject::Identity;
use crate::suite::refusals::refusal::refused;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "containers that are not there, a pod of which nothing would move, and too long a freeze for the probes are refused",
    |lab| Box::pin(run(lab)),
);

async fn run(lab: &Lab) -> Result<()> {
    let mut app = redis("app", 6379);
    app["livenessProbe"] = json!({"tcpSocket": {"port": 6379}, "periodSeconds": 1, "failureThreshold": 2});
    let spec = json!({"initContainers": [sidecar("proxy", 6380)], "containers": [app]});
    let before = Identity::of(&lab.pod("subject", Some("n1"), spec).await?);
    let cases: [(Value, &str, &[&str]); 4] = [
        (
            json!({"restartContainers": ["proxi"]}),
            "RestartContainersUnknown",
            &["proxi", "proxy, app"],
        ),
        (
            json!({"restartContainers": ["app"]}),
            "NothingToMove",
            &["every main container"],
        ),
        (
            json!({"restartContainers": ["proxy", "app"]}),
            "NothingToMove",
            &["every main container"],
        ),
        (
            json!({"freezeBudget": "5s"}),
            "LivenessProbeTooStrict",
            &["app", "1500 ms", "failureThreshold"],
        ),
    ];
    for (more, reason, words) in cases {
        let mut spec = json!({"podName": "subject", "target": {"nodeName": "n2"}});
        if let (Some(spec), Some(more)) = (spec.as_object_mut(), more.as_object()) {
            spec.extend(more.clone());
        }
        refused(lab, spec, reason, words).await.context(reason)?;
    }
    let after = Identity::of(&lab.pods().get("subject").await?);
    ensure!(before == after, "the pod was touched");
    Ok(())
}
