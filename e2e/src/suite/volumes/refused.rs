//! Volumes of other kinds are refused by name.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use crate::suite::failures::subject::Identity;
use crate::suite::refusals::refused;
use crate::suite::{Behaviour, Lab, workload_container};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "volumes whose content cannot be copied are refused by name and kind, beside others that could",
    |lab| Box::pin(run(lab)),
);

async fn run(lab: &Lab) -> Result<()> {
    let name = format!("{}-volume", lab.namespace());
    let volumes: Api<PersistentVolume> = Api::all(lab.client());
    let volume = serde_json::from_value(json!({
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Mi"}, "accessModes": ["ReadWriteMany"], "storageClassName": "none",
            "hostPath": {"path": "/tmp"}, "persistentVolumeReclaimPolicy": "Retain",
        },
    }))?;
    volumes
        .create(&PostParams::default(), &volume)
        .await
        .context("make a volume")?;
    let result = with_claim(lab, &name).await;
    volumes
        .delete(&name, &DeleteParams::default())
        .await
        .context("remove the volume")?;
    result
}

async fn with_claim(lab: &Lab, volume: &str) -> Result<()> {
    let claim = serde_json::from_value(json!({
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteMany"], "storageClassName": "none", "volumeName": volume,
            "resources": {"requests": {"storage": "1Mi"}},
        },
    }))?;
    lab.api::<PersistentVolumeClaim>()
        .create(&PostParams::default(), &claim)
        .await
        .context("make a claim")?;
    let cases: [(&str, Value, &[&str]); 2] = [
        (
            "claim",
            json!({"persistentVolumeClaim": {"claimName": "data"}}),
            &[
                "second (claim data of hostPath, which is data of one node",
                "emptyDir",
            ],
        ),
        (
            "host-path",
            json!({"hostPath": {"path": "/tmp"}}),
            &["second (hostPath, which container main may write to"],
        ),
    ];
    for (name, mut second, words) in cases {
        second["name"] = json!("second");
        let mut container = workload_container("main", &["serve", "7000"]);
        container["volumeMounts"] =
            json!([{"name": "first", "mountPath": "/first"}, {"name": "second", "mountPath": "/second"}]);
        let spec = json!({"containers": [container], "volumes": [{"name": "first", "emptyDir": {}}, second]});
        let before = Identity::of(&lab.pod(name, Some("n1"), spec).await?);
        let spec = json!({"podName": name, "target": {"nodeName": "n2"}});
        refused(lab, spec, "VolumeUnsupported", words)
            .await
            .with_context(|| format!("pod {name}"))?;
        let after = Identity::of(&lab.pods().get(name).await?);
        ensure!(before == after, "pod {name} was touched");
        lab.delete_pod(name).await?;
    }
    Ok(())
}
