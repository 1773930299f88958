//! Godwit's side: one Redis pod that is moved to and fro, with a client on a third node whose connection lives on.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt as _;
use godwit_crds::{FreezeTimings, PodMigration, PodMigrationStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, PostParams};
use kube::runtime::watcher;
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::runtime::Runtime;

use super::client::{Client, Connection, now_us};
use super::trace::{Trace, Traced};
use crate::images::redis;
use crate::{Cluster, Node};

pub(super) const NAMESPACE: &str = "default";
/// How long a pod may take to start, or a migration from end to end.
const PATIENCE: Duration = Duration::from_mins(5);

/// One migration; microseconds.
#[derive(Debug, Clone)]
pub struct MovedRun {
    /// The client's largest time between two answers.
    pub gap_us: u64,
    /// When it ended, in microseconds since 1970.
    pub gap_end_us: u64,
    /// When the `PodMigration` was created, likewise.
    pub began_us: u64,
    /// Parts of the freeze, by their names in the status.
    pub parts: Vec<(&'static str, u64)>,
    /// The freeze, as the source's agent measured it.
    pub freeze_us: u64,
    /// Bytes that the source's agent sent.
    pub bytes: i64,
    /// From the `PodMigration`'s creation to its end.
    pub whole_us: u64,
    /// When what happened inside, as far as the relay and CRIU have left word of it.
    pub traced: Traced,
    /// All that the migration says of itself.
    pub status: PodMigrationStatus,
}

/// A pod that can be moved again and again.
pub struct Moved<'a> {
    cluster: &'a Cluster,
    runtime: &'a Runtime,
    api: kube::Client,
    pod: String,
    at: String,
    client: Client,
}

/// Makes a Redis pod on a node and waits until it is ready; gives it as it is then.
pub fn redis_pod(runtime: &Runtime, api: &kube::Client, name: &str, node: &str) -> Result<Pod> {
    let container = json!({
        "name": "redis", "image": redis::IMAGE, "imagePullPolicy": "Never",
        "resources": {"requests": {"cpu": "50m", "memory": "32Mi"}, "limits": {"memory": "4Gi"}},
    });
    pod(runtime, api, name, node, &container)
}

/// Makes a pod with one container on a node and waits until it is ready; gives it as it is then.
pub fn pod(
    runtime: &Runtime,
    api: &kube::Client,
    name: &str,
    node: &str,
    container: &serde_json::Value,
) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(api.clone(), NAMESPACE);
    let pod: Pod = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "godwit-bench"}},
        "spec": {
            "nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [container],
        },
    }))?;
    runtime.block_on(async {
        pods.create(&PostParams::default(), &pod)
            .await
            .with_context(|| format!("create the pod {name}"))?;
        let ready = |pod: &Pod| {
            let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
            conditions.is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
        };
        eventually(&pods, name, ready).await
    })
}

/// Deletes all pods that a benchmark has made, and its `PodMigration`s; waits until the pods are gone.
pub fn clear(runtime: &Runtime, api: &kube::Client) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(api.clone(), NAMESPACE);
    let migrations: Api<PodMigration> = Api::namespaced(api.clone(), NAMESPACE);
    runtime.block_on(async {
        let labelled = |name: &str| kube::api::ListParams::default().labels(name);
        let ours = "app=godwit-bench";
        // A cluster without Godwit has no such objects.
        let _ = migrations
            .delete_collection(&DeleteParams::default(), &labelled(ours))
            .await;
        pods.delete_collection(&DeleteParams::default().grace_period(1), &labelled(ours))
            .await?;
        let began = std::time::Instant::now();
        while !pods.list(&labelled(ours)).await?.items.is_empty() {
            ensure!(began.elapsed() < PATIENCE, "the benchmark's pods do not go away");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    })
}

impl<'a> Moved<'a> {
    /// Starts Redis with `mebibytes` of data on the node `at`, and a client on `from`.
    pub fn start(
        cluster: &'a Cluster,
        runtime: &'a Runtime,
        api: &kube::Client,
        (at, from): (&str, Node<'_>),
        mebibytes: u32,
    ) -> Result<Self> {
        let pod = redis_pod(runtime, api, "godwit-bench", at)?;
        let mut connection = connection(&pod, from)?;
        connection.fill(mebibytes)?;
        Ok(Self::of(cluster, runtime, api, (&pod, at), connection))
    }

    /// A pod of the caller's on the node `at`, with a connection to it that is used from now on.
    pub fn of(
        cluster: &'a Cluster,
        runtime: &'a Runtime,
        api: &kube::Client,
        (pod, at): (&Pod, &str),
        connection: Connection,
    ) -> Self {
        Self {
            cluster,
            runtime,
            api: api.clone(),
            pod: pod.name_any(),
            at: at.to_owned(),
            client: Client::start(connection),
        }
    }

    /// Where it is now.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// Moves it to the node `to`.
    pub fn run(&mut self, to: &str) -> Result<MovedRun> {
        self.run_with(to, &json!({}))
    }

    /// The same with further fields of the migration's spec.
    pub fn run_with(&mut self, to: &str, further: &serde_json::Value) -> Result<MovedRun> {
        let migrations: Api<PodMigration> = Api::namespaced(self.api.clone(), NAMESPACE);
        let mut spec = json!({"podName": self.pod, "target": {"nodeName": to}});
        if let (Some(spec), Some(further)) = (spec.as_object_mut(), further.as_object()) {
            spec.extend(further.clone());
        }
        let migration: PodMigration = serde_json::from_value(json!({
            "apiVersion": "godwit.dev/v1alpha1", "kind": "PodMigration",
            "metadata": {"generateName": "godwit-bench-", "labels": {"app": "godwit-bench"}},
            "spec": spec,
        }))?;
        let trace = Trace::begin([self.cluster.node(&self.at)?, self.cluster.node(to)?])?;
        self.client.begin();
        std::thread::sleep(Duration::from_millis(500));
        let began = now_us();
        let (client, runtime) = (&mut self.client, self.runtime);
        let ended = runtime.block_on(async {
            let made = migrations.create(&PostParams::default(), &migration).await?;
            let over = |migration: &PodMigration| {
                migration
                    .status
                    .as_ref()
                    .is_some_and(|status| status.phase.is_final())
            };
            eventually(&migrations, &made.name_any(), over).await
        })?;
        let whole_us = now_us() - began;
        std::thread::sleep(Duration::from_millis(300));
        let seen = client.end()?;
        let status = ended.status.clone().unwrap_or_default();
        let freeze = status.timings.as_ref().and_then(|timings| timings.freeze.clone());
        let freeze = freeze.or_else(|| status.source.as_ref().and_then(|source| source.freeze.clone()));
        let (Some(freeze), godwit_crds::MigrationPhase::Succeeded) = (freeze, status.phase) else {
            bail!(
                "the migration ended {:?}: {}",
                status.phase,
                serde_json::to_string(&status)?
            );
        };
        let pod_uid = status.plan.as_ref().and_then(|plan| plan.target_pod_uid.clone());
        let uids: Vec<String> = ended.uid().into_iter().chain(pod_uid).collect();
        let target = status.plan.as_ref().and_then(|plan| plan.target_pod_name.clone());
        self.pod = target.context("the migration names no target pod")?;
        to.clone_into(&mut self.at);
        Ok(MovedRun {
            gap_us: seen.gap_us,
            gap_end_us: seen.gap_end_us,
            began_us: began,
            parts: parts(&freeze)?,
            freeze_us: duration_us(&freeze.total)?,
            bytes: status.source.as_ref().map_or(0, |source| source.bytes_sent),
            whole_us,
            traced: trace.end(&uids),
            status,
        })
    }
}

/// A connection from `from` to port 6379 of a pod.
pub fn connection(pod: &Pod, from: Node<'_>) -> Result<Connection> {
    let address = pod.status.as_ref().and_then(|status| status.pod_ip.as_deref());
    let address: Ipv4Addr = address.context("a ready pod without address")?.parse()?;
    let address = SocketAddr::from((address, 6379));
    Connection::new(from.in_network(|| connect(address))?)
}

/// A pod without a probe is ready before its program listens.
fn connect(address: SocketAddr) -> Result<TcpStream> {
    let began = std::time::Instant::now();
    loop {
        match TcpStream::connect_timeout(&address, Duration::from_secs(5)) {
            Ok(stream) => return Ok(stream),
            Err(error) if began.elapsed() > PATIENCE => return Err(error).context("connect to the pod"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn parts(freeze: &FreezeTimings) -> Result<Vec<(&'static str, u64)>> {
    let all = [
        ("pause", &freeze.pause),
        ("dump", &freeze.dump),
        ("send", &freeze.send),
        ("restore", &freeze.restore),
        ("commit", &freeze.commit),
    ];
    all.into_iter()
        .map(|(name, text)| Ok((name, duration_us(text)?)))
        .collect()
}

/// Milliseconds with a fraction, as the agents write them.
fn duration_us(text: &str) -> Result<u64> {
    let number: f64 = text
        .strip_suffix("ms")
        .and_then(|number| number.parse().ok())
        .with_context(|| format!("`{text}` is no duration in milliseconds"))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "durations of seconds"
    )]
    Ok((number * 1000.0).round() as u64)
}

/// Waits, by a watch and so without work for this machine's few processors, until `enough` holds of an object.
pub(super) async fn eventually<K>(api: &Api<K>, name: &str, enough: impl Fn(&K) -> bool) -> Result<K>
where
    K: kube::Resource + Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + 'static,
{
    let watched = async {
        let mut objects = std::pin::pin!(watcher::watch_object(api.clone(), name));
        while let Some(object) = objects.next().await {
            if let Ok(Some(object)) = object
                && enough(&object)
            {
                return Ok(object);
            }
        }
        bail!("the watch of {name} ended")
    };
    tokio::time::timeout(PATIENCE, watched)
        .await
        .with_context(|| format!("{name} is not what it should be after {} s", PATIENCE.as_secs()))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration_us("183.4ms").unwrap(), 183_400);
        assert!(duration_us("1s").is_err());
    }
}
