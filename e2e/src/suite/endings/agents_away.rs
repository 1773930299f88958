//! Pods of the runtime class do not need an agent to start.

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::suite::failures::agents::{NAMESPACE, agent_back, agent_of};
use crate::suite::failures::subject::{AMPLE, redis_container};
use crate::suite::{Behaviour, Lab};

pub(super) const PODS_START: Behaviour = Behaviour::new(
    "pods of the runtime class start on a node whose agent is away",
    |lab| Box::pin(pods_start(lab)),
);

/// Agents run where this label is not.
const AWAY: &str = "godwit-e2e/no-agent";

async fn pods_start(lab: &Lab) -> Result<()> {
    let nodes: Api<Node> = Api::all(lab.client());
    let sets: Api<DaemonSet> = Api::namespaced(lab.client(), NAMESPACE);
    let result = without_agent(lab, &nodes, &sets).await;
    change(&nodes, "n3", json!({"metadata": {"labels": {AWAY: null}}})).await?;
    change(&sets, "godwit-agent", affinity(&Value::Null)).await?;
    for node in ["n1", "n2", "n3"] {
        agent_back(lab, node).await.context("after the test")?;
    }
    result
}

async fn without_agent(lab: &Lab, nodes: &Api<Node>, sets: &Api<DaemonSet>) -> Result<()> {
    change(nodes, "n3", json!({"metadata": {"labels": {AWAY: "true"}}})).await?;
    change(
        sets,
        "godwit-agent",
        affinity(
            &json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": AWAY, "operator": "DoesNotExist"}]},
            ]}}}),
        ),
    )
    .await?;
    lab.until("the agent of n3 to be gone", AMPLE, async || {
        Ok(agent_of(lab, "n3").await?.is_none().then_some(()))
    })
    .await?;
    let spec = json!({"runtimeClassName": "godwit", "containers": [redis_container()]});
    lab.pod("ordinary", Some("n3"), spec)
        .await
        .context("a pod of the class without an agent")
        .map(drop)
}

fn affinity(affinity: &Value) -> Value {
    json!({"spec": {"template": {"spec": {"affinity": affinity}}}})
}

async fn change<K>(api: &Api<K>, name: &str, change: Value) -> Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    api.patch(name, &PatchParams::default(), &Patch::Merge(change))
        .await?;
    Ok(())
}
