//! The agents and the operator as processes that can be killed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use godwit_crds::AGENT_READY_LABEL;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::suite::Lab;

/// Where the tests install Godwit.
pub const NAMESPACE: &str = "godwit";
/// How long a killed part may take to be back.
const BACK: Duration = Duration::from_secs(90);

/// Ends every operator, the standby ones too, as by `kill -9`.
pub fn kill_operators(lab: &Lab) -> Result<()> {
    let found: Vec<i32> = lab
        .cluster()
        .nodes()
        .flat_map(|node| node.pids_of("godwit-operator"))
        .collect();
    ensure!(!found.is_empty(), "no operator runs");
    end(&found)
}

/// Ends the agent of a node, as by `kill -9`.
pub fn kill_agent(lab: &Lab, node: &str) -> Result<()> {
    let found = lab.cluster().node(node)?.pids_of("godwit-agent");
    ensure!(!found.is_empty(), "no agent runs on {node}");
    end(&found)
}

/// Replaces the agent of a node by a new pod, which has no back-off to wait for, and waits until it is ready.
pub async fn renew_agent(lab: &Lab, node: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(lab.client(), NAMESPACE);
    let old = agent_of(lab, node).await?.context("the node has no agent")?;
    pods.delete(&old.name_any(), &DeleteParams::default().grace_period(1))
        .await?;
    let what = format!("a new agent on {node}");
    lab.until(&what, BACK, async || {
        let new = agent_of(lab, node).await?;
        Ok(new
            .filter(|new| new.uid() != old.uid() && is_ready(new))
            .map(drop))
    })
    .await?;
    agent_back(lab, node).await
}

/// Waits until the agent of a node runs and says that it can take part.
pub async fn agent_back(lab: &Lab, node: &str) -> Result<()> {
    let nodes: Api<Node> = Api::all(lab.client());
    lab.until(&format!("the agent of {node}"), BACK, async || {
        let ready = agent_of(lab, node).await?.is_some_and(|pod| is_ready(&pod));
        let labelled = nodes
            .get(node)
            .await?
            .labels()
            .get(AGENT_READY_LABEL)
            .is_some_and(|value| value == "true");
        Ok((ready && labelled).then_some(()))
    })
    .await
}

/// Waits until an operator is ready again.
pub async fn operator_back(lab: &Lab) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(lab.client(), NAMESPACE);
    let operators = ListParams::default().labels("app.kubernetes.io/component=operator");
    lab.until("the operator", BACK, async || {
        Ok(pods.list(&operators).await?.iter().all(is_ready).then_some(()))
    })
    .await
}

/// The agent's pod on a node.
pub async fn agent_of(lab: &Lab, node: &str) -> Result<Option<Pod>> {
    let pods: Api<Pod> = Api::namespaced(lab.client(), NAMESPACE);
    let agents = ListParams::default()
        .labels("app.kubernetes.io/component=agent")
        .fields(&format!("spec.nodeName={node}"));
    let found = pods.list(&agents).await?;
    Ok(found
        .into_iter()
        .find(|pod| pod.metadata.deletion_timestamp.is_none()))
}

/// Whether a pod's containers are all ready.
pub fn is_ready(pod: &Pod) -> bool {
    let conditions = pod
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

fn end(pids: &[i32]) -> Result<()> {
    for &pid in pids {
        kill(Pid::from_raw(pid), Signal::SIGKILL).with_context(|| format!("kill {pid}"))?;
    }
    Ok(())
}
