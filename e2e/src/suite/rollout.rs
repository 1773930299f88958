//! What users do to workloads while their pods move.

use std::fmt::Debug;

use anyhow::Result;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Changes how many are wanted.
pub async fn scale<K>(owners: &Api<K>, name: &str, replicas: i32) -> Result<()>
where
    K: Clone + DeserializeOwned + Debug,
{
    change(owners, name, json!({"spec": {"replicas": replicas}})).await
}

/// What `kubectl rollout restart` does.
pub async fn restart<K>(owners: &Api<K>, name: &str) -> Result<()>
where
    K: Clone + DeserializeOwned + Debug,
{
    let annotations = json!({"kubectl.kubernetes.io/restartedAt": "2027-01-15T08:00:00Z"});
    let template = json!({"metadata": {"annotations": annotations}});
    change(owners, name, json!({"spec": {"template": template}})).await
}

async fn change<K>(owners: &Api<K>, name: &str, change: Value) -> Result<()>
where
    K: Clone + DeserializeOwned + Debug,
{
    owners
        .patch(name, &PatchParams::default(), &Patch::Merge(change))
        .await?;
    Ok(())
}
