//! An agent speaks for its own node only, by the token of its pod.

use anyhow::{Context, Result, bail, ensure};
use godwit_crds::{MigrationPhase, PodMigration};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::migration::PATIENCE;
use crate::suite::failures::agents::{NAMESPACE, agent_of};
use crate::suite::failures::fault;
use crate::suite::failures::subject::Subject;
use crate::suite::{Behaviour, Lab};

pub(super) const CONFINED: Behaviour = Behaviour::new("an agent can write for its own node only", |lab| {
    Box::pin(confined(lab))
});

async fn confined(lab: &Lab) -> Result<()> {
    let subject = Subject::start(lab, "subject", "n1").await?;
    fault::ask(lab.cluster(), "n1", "source.CopyFiles=hang:15")?;
    let migration = subject.departs().await?;
    let waiting = migration.phase(MigrationPhase::Copying, PATIENCE).await;
    let result = match waiting {
        Ok(_) => denied(lab, migration.name()).await,
        Err(error) => Err(error),
    };
    migration.cancel().await.ok();
    let ended = subject.stays(&migration).await;
    fault::take_back(lab.cluster(), "n1")?;
    result?;
    ended?;
    subject.end().await
}

async fn denied(lab: &Lab, name: &str) -> Result<()> {
    let source = json!({"status": {"source": {"state": "Released", "bytesSent": 1, "resumed": false}}});
    let target = json!({"status": {"target": {"state": "Running", "resumed": false}}});
    let settled = json!({"status": {"phase": "Succeeded"}});
    let plan = json!({"status": {"plan": {"targetNode": "n3"}}});
    // By node: n1 is the source's, n2 the target's, n3 nobody's.
    let cases: [(&str, &Value, &str); 8] = [
        ("n2", &source, "status.source belongs to the agent"),
        ("n3", &source, "status.source belongs to the agent"),
        ("n1", &target, "status.target belongs to the agent"),
        ("n3", &target, "status.target belongs to the agent"),
        ("n1", &settled, "status.source and status.target only"),
        ("n2", &settled, "status.source and status.target only"),
        ("n1", &plan, "status.source and status.target only"),
        ("n2", &plan, "status.source and status.target only"),
    ];
    for (node, change, words) in cases {
        let migrations: Api<PodMigration> = Api::namespaced(as_agent(lab, node).await?, lab.namespace());
        let result = migrations
            .patch_status(name, &PatchParams::default(), &Patch::Merge(change))
            .await;
        forbidden(result.map(drop), words).with_context(|| format!("the agent of {node} and {change}"))?;
    }
    let agent = as_agent(lab, "n3").await?;
    let migrations: Api<PodMigration> = Api::namespaced(agent.clone(), lab.namespace());
    let cancel = Patch::Merge(json!({"spec": {"cancel": true}}));
    let spec = migrations.patch(name, &PatchParams::default(), &cancel).await;
    forbidden(spec.map(drop), "").context("an agent and the spec")?;
    let nodes: Api<Node> = Api::all(agent);
    let label = |key: &str| Patch::Merge(json!({"metadata": {"labels": {key: "true"}}}));
    let other = nodes
        .patch("n1", &PatchParams::default(), &label("godwit.dev/agent-ready"))
        .await;
    forbidden(other.map(drop), "its own node only")?;
    let foreign = nodes
        .patch("n3", &PatchParams::default(), &label("example.com/mine"))
        .await;
    forbidden(foreign.map(drop), "labels of godwit.dev/ only")?;
    nodes
        .patch("n3", &PatchParams::default(), &label("godwit.dev/agent-ready"))
        .await
        .context("the agent's own label on its own node")?;
    Ok(())
}

/// A client with the token of the agent of that node, as kubelet would give it to the agent's pod.
pub(super) async fn as_agent(lab: &Lab, node: &str) -> Result<Client> {
    let pod = agent_of(lab, node).await?.context("the node has no agent")?;
    let account = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.service_account_name.clone())
        .context("no service account")?;
    let request: TokenRequest = serde_json::from_value(json!({"spec": {"audiences": [], "boundObjectRef": {
        "apiVersion": "v1", "kind": "Pod", "name": pod.name_any(), "uid": pod.uid(),
    }}}))?;
    let accounts: Api<ServiceAccount> = Api::namespaced(lab.client(), NAMESPACE);
    let granted = accounts
        .create_token_request(&account, &PostParams::default(), &request)
        .await?;
    let token = granted
        .status
        .and_then(|status| status.token)
        .context("no token was given")?;
    let file = Kubeconfig::read_from(lab.cluster().kubeconfig())?;
    let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    config.auth_info = kube::config::AuthInfo {
        token: Some(token.into()),
        ..Default::default()
    };
    let client = Client::try_from(config)?;
    let whoami = client.apiserver_version().await;
    ensure!(whoami.is_ok(), "the token is not taken: {whoami:?}");
    Ok(client)
}

/// Fails unless it was forbidden in these words.
pub(super) fn forbidden(result: Result<(), kube::Error>, words: &str) -> Result<()> {
    match result {
        Err(kube::Error::Api(status))
            if matches!(status.code, 403 | 422) && status.message.contains(words) =>
        {
            Ok(())
        }
        Err(error) => bail!("refused, but not with `{words}`: {error}"),
        Ok(()) => bail!("it was let through"),
    }
}
