//! Owners whose pods do not move: by name, and with what to do.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::{DaemonSet, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use crate::suite::failures::subject::{Identity, redis_container};
use crate::suite::refusals::refusal::refused;
use crate::suite::{Behaviour, Lab};

pub(super) const BY_KIND: Behaviour = Behaviour::new(
    "pods of stateful sets and daemon sets are refused by the name of their owner",
    |lab| Box::pin(by_kind(lab)),
);

async fn by_kind(lab: &Lab) -> Result<()> {
    let spec = |app: &str, more: Value| {
        let mut spec = json!({
            "selector": {"matchLabels": {"app": app}},
            "template": {
                "metadata": {"labels": {"app": app}},
                "spec": {"nodeName": "n1", "terminationGracePeriodSeconds": 1, "containers": [redis_container()]},
            },
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            spec[key] = value.clone();
        }
        json!({"metadata": {"name": app}, "spec": spec})
    };
    let stateful: StatefulSet = serde_json::from_value(spec(
        "stateful",
        json!({"serviceName": "stateful", "replicas": 1}),
    ))?;
    lab.api().create(&PostParams::default(), &stateful).await?;
    let mut daemons: DaemonSet = serde_json::from_value(spec("daemons", json!({})))?;
    if let Some(spec) = daemons.spec.template.spec.as_mut() {
        spec.node_name = None;
    }
    lab.api().create(&PostParams::default(), &daemons).await?;
    for (app, reason, words) in [
        (
            "stateful",
            "StatefulSetUnsupported",
            ["StatefulSet stateful", "another name"],
        ),
        (
            "daemons",
            "DaemonSetUnsupported",
            ["DaemonSet daemons", "on each node"],
        ),
    ] {
        let pod = one_of(lab, app).await?;
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
        let to = if node.as_deref() == Some("n2") { "n3" } else { "n2" };
        let spec = json!({"podName": pod.name_any(), "target": {"nodeName": to}});
        refused(lab, spec, reason, &words)
            .await
            .with_context(|| app.to_owned())?;
        let after = lab.pods().get(&pod.name_any()).await?;
        ensure!(Identity::of(&after) == Identity::of(&pod), "{app} was touched");
        ensure!(after.metadata.labels == pod.metadata.labels, "{app} was touched");
        ensure!(
            after.metadata.annotations == pod.metadata.annotations,
            "{app} was touched"
        );
    }
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
