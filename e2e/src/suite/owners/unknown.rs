//! An owner of a kind that Godwit does not know, which takes its pod under another name.

use anyhow::Result;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::PostParams;
use serde_json::json;

use super::replicas::has_taken_over;
use crate::suite::failures::subject::{Subject, redis_container};
use crate::suite::{Behaviour, Lab};

pub(super) const ANNOTATED: Behaviour = Behaviour::new(
    "a pod of an unknown owner moves if its annotation says that the owner accepts a new name",
    |lab| Box::pin(annotated(lab)),
);

async fn annotated(lab: &Lab) -> Result<()> {
    // Something harmless: the garbage collector wants it to exist.
    let owner: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "owner"}}))?;
    let owner = lab
        .api::<ConfigMap>()
        .create(&PostParams::default(), &owner)
        .await?;
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {
            "name": "owned", "labels": {"app": "owned", "team": "e2e"},
            "annotations": {"godwit.dev/owner-accepts-new-name": "true"},
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid,
                "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": {"nodeName": "n1", "terminationGracePeriodSeconds": 1, "containers": [redis_container()]},
    }))?;
    lab.pods().create(&PostParams::default(), &pod).await?;
    let source = lab.running("owned").await?;
    let mut subject = Subject::of(lab, &source, "n1").await?;
    for _ in 0..2 {
        subject.moves().await?;
        has_taken_over(&subject.pod().await?, &source)?;
    }
    subject.end().await
}
