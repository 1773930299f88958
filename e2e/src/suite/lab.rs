//! What a behaviour has to work with: the cluster, and a namespace of its own.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use godwit_crds::PodMigration;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::migration::Migration;
use crate::{Cluster, images};

/// How long a pod may take to start or to go; images are on every node.
const POD_PATIENCE: Duration = Duration::from_secs(90);
/// How long pods may take that end as they should.
const A_LITTLE: Duration = Duration::from_secs(5);
/// How often the API server is asked.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The cluster, and a namespace of one behaviour.
#[derive(Clone)]
pub struct Lab {
    cluster: Cluster,
    client: Client,
    namespace: String,
}

impl std::fmt::Debug for Lab {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Lab")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

impl Lab {
    /// Make the namespace. Fails if it cannot be made, or a namespace of that name is still being deleted.
    pub async fn open(cluster: Cluster, namespace: &str) -> Result<Self> {
        let client = cluster.client().await?;
        let lab = Self {
            cluster,
            client,
            namespace: namespace.to_owned(),
        };
        let made = serde_json::from_value(json!({"metadata": {"name": namespace}}))?;
        Api::<Namespace>::all(lab.client())
            .create(&PostParams::default(), &made)
            .await
            .with_context(|| format!("create namespace {namespace}"))?;
        // Pods of the namespace are refused until this is there.
        let accounts: Api<ServiceAccount> = lab.api();
        lab.until("the service account of the namespace", POD_PATIENCE, async || {
            Ok(accounts.get_opt("default").await?)
        })
        .await?;
        Ok(lab)
    }

    /// Wait until the namespace is gone, with all that is still in it. To be called after [`Self::clear`].
    pub async fn close(&self) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client());
        namespaces
            .delete(&self.namespace, &DeleteParams::default())
            .await?;
        self.until("the end of the namespace", POD_PATIENCE * 2, async || {
            Ok(namespaces.get_opt(&self.namespace).await?.is_none().then_some(()))
        })
        .await
    }

    /// Delete migrations and pods, and wait a little until they are gone: the controller that empties a namespace looks again only after
    /// seconds when it finds pods that are still ending.
    pub async fn clear(&self) -> Result<()> {
        let (all, now) = (ListParams::default(), DeleteParams::default());
        self.api::<PodMigration>().delete_collection(&now, &all).await?;
        let pods = self.pods();
        pods.delete_collection(&now, &all).await?;
        let began = Instant::now();
        while began.elapsed() < A_LITTLE && !pods.list_metadata(&all).await?.items.is_empty() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A client with all rights.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The behaviour's own namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Objects of one kind in the behaviour's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client(), &self.namespace)
    }

    /// Pods of the namespace.
    pub fn pods(&self) -> Api<Pod> {
        self.api()
    }

    /// Ask again and again until `look` gives something. An error of `look` ends it; longer than `patience` is an error
    /// that names `what`.
    pub async fn until<T>(
        &self,
        what: &str,
        patience: Duration,
        mut look: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let began = Instant::now();
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            if began.elapsed() > patience {
                bail!("waited {} s for {what}", patience.as_secs());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Create a pod with this `spec` on `node`, or where the scheduler wants it, and wait until all of its containers run.
    pub async fn pod(&self, name: &str, node: Option<&str>, spec: Value) -> Result<Pod> {
        let mut spec = spec;
        if let (Some(node), Some(fields)) = (node, spec.as_object_mut()) {
            fields.insert("nodeName".to_owned(), json!(node));
        }
        if let Some(fields) = spec.as_object_mut() {
            fields.entry("terminationGracePeriodSeconds").or_insert(json!(1));
        }
        let pod = serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"app": name}},
            "spec": spec,
        }))
        .with_context(|| format!("the spec of pod {name}"))?;
        self.pods()
            .create(&PostParams::default(), &pod)
            .await
            .with_context(|| format!("create pod {name}"))?;
        self.running(name).await
    }

    /// A Redis pod called `name`, answering on port 6379.
    pub async fn redis(&self, name: &str, node: &str) -> Result<Pod> {
        let spec = json!({"containers": [{
            "name": "redis", "image": images::redis::IMAGE, "imagePullPolicy": "Never",
            "ports": [{"containerPort": 6379}],
        }]});
        self.pod(name, Some(node), spec).await
    }

    /// A pod with one container of the tests' workload image that runs `workload` with these words.
    pub async fn workload(&self, name: &str, node: Option<&str>, words: &[&str]) -> Result<Pod> {
        let spec = json!({"containers": [workload_container("main", words)]});
        self.pod(name, node, spec).await
    }

    /// Wait until all containers of a pod run.
    pub async fn running(&self, name: &str) -> Result<Pod> {
        let pods = self.pods();
        self.until(&format!("pod {name} to run"), POD_PATIENCE, async || {
            let pod = pods.get(name).await?;
            Ok(all_run(&pod).then_some(pod))
        })
        .await
    }

    /// Delete a pod and wait until it is gone. No error if there is none.
    pub async fn delete_pod(&self, name: &str) -> Result<()> {
        let pods = self.pods();
        match pods.delete(name, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        self.until(&format!("the end of pod {name}"), POD_PATIENCE, async || {
            Ok(pods.get_opt(name).await?.is_none().then_some(()))
        })
        .await
    }

    /// Apply a `PodMigration` that moves `pod` to `node`.
    pub async fn migrate(&self, pod: &str, node: &str) -> Result<Migration> {
        Migration::create(
            &self.client,
            &self.namespace,
            json!({"podName": pod, "target": {"nodeName": node}}),
        )
        .await
    }

    /// Apply a `PodMigration` with this `spec`.
    pub async fn migrate_with(&self, spec: Value) -> Result<Migration> {
        Migration::create(&self.client, &self.namespace, spec).await
    }

    /// Move `pod` to `node`; gives the target pod. Fails with the migration's status if it does not succeed.
    pub async fn moved(&self, pod: &str, node: &str) -> Result<Pod> {
        let done = self.migrate(pod, node).await?.succeeded().await?;
        let target = Migration::target_name(&done)?;
        let target = self.pods().get(&target).await?;
        if node_of(&target)? != node {
            bail!("{pod} was to move to {node} and is on {}", node_of(&target)?);
        }
        Ok(target)
    }

    /// Run a program on a node, at most for `limit`; gives what it wrote to stdout. Fails, with what it wrote, if it does.
    pub async fn on_node(&self, node: &str, words: &[&str], limit: Duration) -> Result<String> {
        let (cluster, node) = (self.cluster.clone(), node.to_owned());
        // The program itself must end too, or the thread would wait for ever.
        let mut command = vec![
            "timeout".to_owned(),
            "--signal=KILL".to_owned(),
            limit.as_secs().max(1).to_string(),
        ];
        command.extend(words.iter().map(|&word| word.to_owned()));
        tokio::task::spawn_blocking(move || cluster.node(&node)?.exec(command)).await?
    }

    /// Do something that blocks, on a thread that is in the network namespace of a node.
    pub async fn from_node<T: Send + 'static>(
        &self,
        node: &str,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (cluster, node) = (self.cluster.clone(), node.to_owned());
        tokio::task::spawn_blocking(move || cluster.node(&node)?.in_network(work)).await?
    }
}

/// The container of a pod that runs `workload` with these words.
pub fn workload_container(name: &str, words: &[&str]) -> Value {
    let mut command = vec!["/usr/bin/workload"];
    command.extend(words);
    json!({
        "name": name, "image": images::workload::IMAGE, "imagePullPolicy": "Never", "command": command,
    })
}

/// The node of a pod. Fails if it has none.
pub fn node_of(pod: &Pod) -> Result<&str> {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .with_context(|| format!("pod {} has no node", pod.name_any()))
}

/// The address of a pod. Fails if it has none.
pub fn address_of(pod: &Pod) -> Result<std::net::IpAddr> {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
    address
        .with_context(|| format!("pod {} has no address", pod.name_any()))?
        .parse()
        .context("the address of a pod")
}

fn all_run(pod: &Pod) -> bool {
    let wanted = pod.spec.as_ref().map_or(0, |spec| spec.containers.len());
    let Some(status) = &pod.status else { return false };
    let running = status
        .container_statuses
        .iter()
        .flatten()
        .filter(|container| {
            container
                .state
                .as_ref()
                .is_some_and(|state| state.running.is_some())
        })
        .count();
    status.phase.as_deref() == Some("Running") && running == wanted && status.pod_ip.is_some()
}
