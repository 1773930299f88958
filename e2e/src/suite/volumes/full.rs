//! The target's volume has no room.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::subject::{Writers, container};
use crate::migration::{Migration, told};
use crate::suite::failures::fault;
use crate::suite::failures::subject::{AMPLE, Identity, gone};
use crate::suite::failures::traces::Traces;
use crate::suite::{Behaviour, Lab, workload_container};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a target's volume that runs out of room ends the migration with a clear message, and the source runs on",
    |lab| Box::pin(run(lab)),
);

async fn run(lab: &Lab) -> Result<()> {
    let traces = Traces::now(lab).await?;
    let main = container("main", 7000, &["/data/numbers"], &[("data", "/data", "")]);
    let mut heap = workload_container("heap", &["many", "7001", "/data/heap", "2000", "1073741824"]);
    heap["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    let spec = json!({
        "containers": [main, heap],
        "volumes": [{"name": "data", "emptyDir": {"medium": "Memory", "sizeLimit": "48Mi"}}],
    });
    let mut writers = Writers::start(lab, spec, &[7000]).await?;
    let before = writers.identity();
    fault::ask(lab.cluster(), "n1", "source.CopyFiles=hang:6")?;
    let migration = lab.migrate("writers", "n2").await?;
    fault::reached(lab, "n1").await?;
    // What is in it already leaves too little for what comes.
    let uid = target_uid(&migration).await?;
    let script = format!(
        "dd if=/dev/zero of=$(ls -d /var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~empty-dir/data)/other bs=1M count=44"
    );
    lab.on_node("n2", &["sh", "-c", &script], Duration::from_secs(20))
        .await
        .context("fill the target's volume")?;
    let status = migration.failed(AMPLE).await?;
    ensure!(
        status.reason.as_deref() == Some("FilesNoSpace"),
        "{}",
        told(&status)
    );
    let message = status.message.clone().unwrap_or_default();
    for word in ["volume data", "sizeLimit", "free"] {
        ensure!(
            message.contains(word),
            "the message does not say `{word}`: {message}"
        );
    }
    println!("        {message}");
    let target = Migration::target_name(&migration.get().await?)?;
    gone(lab, &target).await.context("the target is still there")?;
    ensure!(
        Identity::of(&lab.pods().get("writers").await?) == before,
        "the source was touched"
    );
    writers.go_on().await?;
    traces.no_more(lab).await?;
    writers.moves().await.context("with room")?;
    writers.go_on().await
}

async fn target_uid(migration: &Migration) -> Result<String> {
    let status = migration.status().await?;
    status
        .plan
        .and_then(|plan| plan.target_pod_uid)
        .context("no target pod")
}
