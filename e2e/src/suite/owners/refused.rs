//! Owners whose pods do not move: by name, and with why.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{ListParams, PostParams};
use serde_json::json;

use crate::suite::failures::subject::{Identity, redis_container};
use crate::suite::refusals::refusal::refused;
use crate::suite::{Behaviour, Lab};

const APP: &str = "daemons";

pub(super) const BY_KIND: Behaviour = Behaviour::new(
    "pods of daemon sets are refused by the name of their owner",
    |lab| Box::pin(by_kind(lab)),
);

async fn by_kind(lab: &Lab) -> Result<()> {
    let daemons: DaemonSet = serde_json::from_value(json!({
        "metadata": {"name": APP},
        "spec": {
            "selector": {"matchLabels": {"app": APP}},
            "template": {
                "metadata": {"labels": {"app": APP}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [redis_container()]},
            },
        },
    }))?;
    lab.api().create(&PostParams::default(), &daemons).await?;
    let pod = one_of(lab, APP).await?;
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let to = if node.as_deref() == Some("n2") { "n3" } else { "n2" };
    let spec = json!({"podName": pod.name_any(), "target": {"nodeName": to}});
    let words = ["DaemonSet daemons", "on each node"];
    refused(lab, spec, "DaemonSetUnsupported", &words).await?;
    let after = lab.pods().get(&pod.name_any()).await?;
    ensure!(Identity::of(&after) == Identity::of(&pod), "the pod was touched");
    ensure!(
        after.metadata.labels == pod.metadata.labels,
        "the pod was touched"
    );
    ensure!(
        after.metadata.annotations == pod.metadata.annotations,
        "the pod was touched"
    );
    Ok(())
}

/// A pod of that app that runs.
async fn one_of(lab: &Lab, app: &str) -> Result<Pod> {
    let pods = lab.pods();
    let of_app = ListParams::default().labels(&format!("app={app}"));
    let name = lab
        .until("a pod of the owner", Duration::from_mins(1), async || {
            let found = pods.list(&of_app).await?.items;
            Ok(found.first().map(ResourceExt::name_any))
        })
        .await?;
    lab.running(&name).await
}
