//! Files of the node, which the pod only reads.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::suite::failures::subject::{Subject, redis_container};
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a pod that reads files of its node moves where the same are, and stays where they differ",
    |lab| Box::pin(run(lab)),
);

const LIMIT: Duration = Duration::from_secs(20);

async fn run(lab: &Lab) -> Result<()> {
    let directory = format!("/opt/{}", lab.namespace());
    let make = format!(
        "mkdir -p {directory}/sub && echo same > {directory}/sub/file && ln -sf sub/file {directory}/link"
    );
    let result = async {
        for node in ["n1", "n2"] {
            lab.on_node(node, &["sh", "-c", &make], LIMIT).await?;
        }
        with_files(lab, &directory).await
    };
    let result = result.await;
    for node in ["n1", "n2"] {
        lab.on_node(node, &["rm", "-rf", &directory], LIMIT).await?;
    }
    result
}

async fn with_files(lab: &Lab, directory: &str) -> Result<()> {
    let mut container = redis_container();
    container["volumeMounts"] = json!([{"name": "conf", "mountPath": "/conf", "readOnly": true}]);
    let spec = json!({
        "containers": [container],
        "volumes": [{"name": "conf", "hostPath": {"path": directory, "type": "Directory"}}],
    });
    let pod = lab.pod("subject", Some("n1"), spec).await?;
    let mut subject = Subject::of(lab, &pod, "n1").await?;
    subject.moves().await?;

    // Back to n1 it does not go while one byte is another there.
    let change = format!("echo Same > {directory}/sub/file");
    lab.on_node("n1", &["sh", "-c", &change], LIMIT).await?;
    let migration = lab
        .migrate_with(json!({"podName": subject.name, "target": {"nodeName": "n1"}, "timeout": "100s"}))
        .await?;
    let status = subject.stays(&migration).await?;
    ensure!(
        status.reason.as_deref() == Some("HostPathDiffers"),
        "another reason: {:?}",
        status.reason
    );
    let message = status.message.unwrap_or_default();
    ensure!(message.contains(directory) && message.contains("n1"), "{message}");
    let mend = format!("echo same > {directory}/sub/file");
    lab.on_node("n1", &["sh", "-c", &mend], LIMIT).await?;
    subject.end().await
}
