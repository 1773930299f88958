//! Pods that are not there, do not run, or cannot move yet.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::PostParams;
use serde_json::{Value, json};

use super::refusal::refused;
use crate::suite::failures::subject::{Identity, redis_container};
use crate::suite::lab::workload_container;
use crate::suite::{Behaviour, Lab};

pub(super) const NONE: Behaviour =
    Behaviour::new("a migration of a pod that does not exist is refused", |lab| {
        Box::pin(none(lab))
    });
pub(super) const NOT_RUNNING: Behaviour =
    Behaviour::new("a migration of a pod that does not run is refused", |lab| {
        Box::pin(not_running(lab))
    });
pub(super) const UNSUPPORTED: Behaviour = Behaviour::new(
    "a pod that cannot move is refused by the name of what stands in the way",
    |lab| Box::pin(unsupported(lab)),
);

async fn none(lab: &Lab) -> Result<()> {
    let spec = json!({"podName": "nobody", "target": {"nodeName": "n2"}});
    refused(lab, spec, "PodNotFound", &["nobody", "spec.podName"]).await
}

async fn not_running(lab: &Lab) -> Result<()> {
    // Without an image that any registry has, it never starts.
    create(
        lab,
        "pending",
        json!({}),
        json!({"nodeName": "n1", "containers": [
            {"name": "main", "image": "localhost/no-such-image:1", "imagePullPolicy": "Never"},
        ]}),
    )
    .await?;
    create(
        lab,
        "done",
        json!({}),
        json!({
            "nodeName": "n1", "restartPolicy": "Never",
            "containers": [shell("true")],
        }),
    )
    .await?;
    let pods = lab.pods();
    lab.until(
        "the pod that ends to have ended",
        Duration::from_mins(1),
        async || {
            let pod = pods.get("done").await?;
            let over = pod.status.and_then(|status| status.phase).as_deref() == Some("Succeeded");
            Ok(over.then_some(()))
        },
    )
    .await?;
    for (pod, word) in [("pending", "Pending"), ("done", "Succeeded")] {
        let spec = json!({"podName": pod, "target": {"nodeName": "n2"}});
        refused(lab, spec, "PodNotRunning", &[pod, word]).await?;
    }
    Ok(())
}

async fn unsupported(lab: &Lab) -> Result<()> {
    let owner = owner(lab).await?;
    let plain = redis_container();
    let with = |more: Value| {
        let mut container = plain.clone();
        merge(&mut container, more);
        json!({"containers": [container]})
    };
    let volume = |volume: Value| {
        let mut spec = with(json!({"volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]}));
        let mut named = json!({"name": "scratch"});
        merge(&mut named, volume);
        merge(&mut spec, json!({"volumes": [named]}));
        spec
    };
    let also = |more: Value| {
        let mut spec = with(json!({}));
        merge(&mut spec, more);
        spec
    };
    let cases: [(&str, Value, Value, &str, &[&str]); 8] = [
        (
            "owned",
            json!({"ownerReferences": [owner]}),
            with(json!({})),
            "OwnerUnsupported",
            &["ConfigMap owner"],
        ),
        (
            "host-network",
            json!({}),
            {
                let mut spec = json!({"containers": [shell("sleep 1000")]});
                merge(&mut spec, json!({"hostNetwork": true}));
                spec
            },
            "HostNamespacesUnsupported",
            &["hostNetwork"],
        ),
        (
            "host-path",
            json!({}),
            volume(json!({"hostPath": {"path": "/tmp"}})),
            "VolumeUnsupported",
            &["scratch", "hostPath"],
        ),
        (
            "terminal",
            json!({}),
            with(json!({"tty": true, "stdin": true})),
            "TerminalUnsupported",
            &["redis", "tty"],
        ),
        (
            "hook",
            json!({}),
            with(json!({"lifecycle": {"postStart": {"exec": {"command": ["true"]}}}})),
            "PostStartHookUnsupported",
            &["redis", "postStart"],
        ),
        (
            "host-port",
            json!({}),
            with(json!({"ports": [{"containerPort": 6379, "hostPort": 16379}]})),
            "HostPortsUnsupported",
            &["16379", "Service"],
        ),
        (
            "one-process-namespace",
            json!({}),
            also(json!({"shareProcessNamespace": true})),
            "ShareProcessNamespaceUnsupported",
            &["shareProcessNamespace"],
        ),
        (
            "sidecar-hook",
            json!({}),
            {
                let mut sidecar = shell("sleep 1000");
                let hook = json!({"postStart": {"exec": {"command": ["true"]}}});
                merge(
                    &mut sidecar,
                    json!({"name": "side", "restartPolicy": "Always", "lifecycle": hook}),
                );
                also(json!({"initContainers": [sidecar]}))
            },
            "PostStartHookUnsupported",
            &["side", "postStart"],
        ),
    ];
    for (name, metadata, mut spec, _, _) in cases.iter().cloned() {
        merge(&mut spec, json!({"nodeName": "n1"}));
        create(lab, name, metadata, spec).await?;
    }
    for (name, _, _, reason, words) in cases {
        let before = Identity::of(&lab.running(name).await?);
        let spec = json!({"podName": name, "target": {"nodeName": "n2"}});
        refused(lab, spec, reason, words)
            .await
            .with_context(|| format!("pod {name}"))?;
        let after = Identity::of(&lab.pods().get(name).await?);
        ensure!(before == after, "pod {name} was touched");
    }
    Ok(())
}

/// Something harmless that can own a pod: the garbage collector wants it to exist.
async fn owner(lab: &Lab) -> Result<Value> {
    let owner: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "owner"}}))?;
    let owner = lab
        .api::<ConfigMap>()
        .create(&PostParams::default(), &owner)
        .await?;
    Ok(json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}))
}

async fn create(lab: &Lab, name: &str, metadata: Value, spec: Value) -> Result<Pod> {
    let mut pod = json!({"metadata": {"name": name}, "spec": {"terminationGracePeriodSeconds": 0}});
    merge(&mut pod, json!({"metadata": metadata, "spec": spec}));
    let pod = serde_json::from_value(pod).with_context(|| format!("the spec of pod {name}"))?;
    lab.pods()
        .create(&PostParams::default(), &pod)
        .await
        .with_context(|| format!("create pod {name}"))
}

fn shell(script: &str) -> Value {
    let mut container = workload_container("main", &[]);
    merge(&mut container, json!({"command": ["sh", "-c", script]}));
    container
}

/// Puts the fields of one object into another.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
