//! The target is a new pod for a limit range.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{LimitRange, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::suite::failures::subject::{Subject, redis_container};
use crate::suite::refusals::refused;
use crate::suite::{Behaviour, Lab};

pub(super) const OUTSIDE: Behaviour = Behaviour::new(
    "a limit range that the pod is outside of refuses a migration, and within it the target has the same resources",
    |lab| Box::pin(run(lab)),
);

async fn run(lab: &Lab) -> Result<()> {
    let mut container = redis_container();
    let amount = json!({"cpu": "100m", "memory": "64Mi"});
    container["resources"] = json!({"requests": amount, "limits": amount});
    let pod = lab
        .pod("subject", Some("n1"), json!({"containers": [container]}))
        .await?;
    let mut subject = Subject::of(lab, &pod, "n1").await?;
    let ranges = lab.api::<LimitRange>();
    let range = json!({"metadata": {"name": "small"}, "spec": spec("32Mi")});
    ranges
        .create(&PostParams::default(), &serde_json::from_value(range)?)
        .await?;
    let wanted = json!({"podName": "subject", "target": {"nodeName": "n2"}});
    let words = [
        "maximum memory usage per Container is 32Mi",
        "change the limit range",
    ];
    refused(lab, wanted, "TargetRefused", &words).await?;
    subject.untouched().await?;
    let wider = Patch::Merge(json!({"spec": spec("96Mi")}));
    ranges.patch("small", &PatchParams::default(), &wider).await?;
    subject.moves().await?;
    let target = subject.pod().await?;
    ensure!(
        resources(&target) == resources(&pod),
        "the target has {}",
        resources(&target)
    );
    subject.end().await
}

fn spec(most: &str) -> Value {
    json!({"limits": [{
        "type": "Container", "max": {"memory": most}, "default": {"cpu": "1", "memory": most},
        "defaultRequest": {"cpu": "1m", "memory": "1Mi"},
    }]})
}

/// Of the containers, and the class that comes of all of them, parking ones too.
fn resources(pod: &Pod) -> Value {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let class = pod.status.as_ref().and_then(|status| status.qos_class.clone());
    let all: Vec<_> = containers.map(|container| &container.resources).collect();
    json!([all, class])
}
