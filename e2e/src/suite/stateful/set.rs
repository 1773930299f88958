//! A stateful set of Redis with its headless Service.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use godwit_crds::PodMigration;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::{ListParams, PostParams};
use serde_json::json;

use crate::images;
use crate::suite::failures::agents::is_ready;
use crate::suite::{Lab, address_of, rollout};

/// Name of everything here, and value of the pods' label `app`.
pub(super) const NAME: &str = "redis";
/// How long a few pods may take to be there, or to be gone.
pub(super) const PATIENCE: Duration = Duration::from_secs(100);

/// Makes a set of that many, and waits for its pods; in the order of their ordinals.
pub(super) async fn start(lab: &Lab, replicas: usize) -> Result<Vec<Pod>> {
    let service: Service = serde_json::from_value(json!({
        "metadata": {"name": NAME},
        "spec": {"clusterIP": "None", "selector": {"app": NAME}, "ports": [{"port": 6379}]},
    }))?;
    lab.api().create(&PostParams::default(), &service).await?;
    let set: StatefulSet = serde_json::from_value(json!({
        "metadata": {"name": NAME},
        "spec": {
            "replicas": replicas, "serviceName": NAME, "podManagementPolicy": "Parallel",
            "selector": {"matchLabels": {"app": NAME}},
            "template": {
                "metadata": {"labels": {"app": NAME, "team": "e2e"}},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [{
                    "name": "redis", "image": images::redis::IMAGE, "imagePullPolicy": "Never",
                    "args": ["--protected-mode", "no", "--save", "", "--dir", "/data", "--replica-read-only", "no"],
                    "ports": [{"containerPort": 6379}],
                    "readinessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 1},
                }]},
            },
        },
    }))?;
    lab.api().create(&PostParams::default(), &set).await?;
    ready(lab, replicas).await
}

/// Waits until the namespace has exactly the pods of a set of that many, all Ready, and the set counts them so.
pub(super) async fn ready(lab: &Lab, replicas: usize) -> Result<Vec<Pod>> {
    let sets = lab.api::<StatefulSet>();
    let wanted: Vec<String> = (0..replicas).map(|ordinal| format!("{NAME}-{ordinal}")).collect();
    lab.until(&format!("{replicas} pods of {NAME}"), PATIENCE, async || {
        let mut pods = lab.pods().list(&ListParams::default()).await?.items;
        pods.sort_by_key(ResourceExt::name_any);
        let names: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
        let status = sets.get(NAME).await?.status.unwrap_or_default();
        let counted = usize::try_from(status.ready_replicas.unwrap_or(0)) == Ok(replicas)
            && usize::try_from(status.replicas) == Ok(replicas);
        let stays = |pod: &Pod| pod.metadata.deletion_timestamp.is_none() && is_ready(pod);
        Ok((names == wanted && counted && pods.iter().all(stays)).then_some(pods))
    })
    .await
}

/// Waits until the headless Service has each of these pods under its name and at its address, and nobody else: what DNS servers answer
/// `redis-0.redis` from (Kubernetes DNS specification, "Records for a Headless Service").
pub(super) async fn known_by_name(lab: &Lab, pods: &[Pod]) -> Result<()> {
    let wanted: BTreeSet<(String, String)> = pods
        .iter()
        .map(|pod| Ok((pod.name_any(), address_of(pod)?.to_string())))
        .collect::<Result<_>>()?;
    let slices = lab.api::<EndpointSlice>();
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={NAME}"));
    lab.until("the names of the headless Service", PATIENCE, async || {
        let all = slices.list(&of_service).await?.items;
        let endpoints = all
            .into_iter()
            .flat_map(|slice| slice.endpoints.unwrap_or_default());
        let ready = endpoints.filter(|it| it.conditions.as_ref().and_then(|it| it.ready) == Some(true));
        let found: BTreeSet<(String, String)> = ready
            .flat_map(|it| {
                let name = it.hostname.unwrap_or_default();
                it.addresses
                    .into_iter()
                    .map(move |address| (name.clone(), address))
            })
            .collect();
        Ok((found == wanted).then_some(()))
    })
    .await
}

/// Changes how many are wanted.
pub(super) async fn scale(lab: &Lab, replicas: i32) -> Result<()> {
    rollout::scale(&lab.api::<StatefulSet>(), NAME, replicas).await
}

/// What `kubectl rollout restart` does.
pub(super) async fn restart(lab: &Lab) -> Result<()> {
    rollout::restart(&lab.api::<StatefulSet>(), NAME).await
}

/// Fails unless a pod has what the pod before it of its name had of its set, and nothing of the way there.
pub(super) fn is_the_same(after: &Pod, before: &Pod) -> Result<()> {
    let labels = |pod: &Pod| {
        let mut labels = pod.labels().clone();
        labels.remove("godwit.dev/migration");
        labels
    };
    ensure!(
        labels(after) == labels(before),
        "{:?} became {:?}",
        before.labels(),
        after.labels()
    );
    ensure!(
        after.owner_references() == before.owner_references(),
        "other owners: {:?}",
        after.owner_references()
    );
    let place = |pod: &Pod| {
        let spec = pod.spec.clone().unwrap_or_default();
        (spec.hostname, spec.subdomain)
    };
    ensure!(
        place(after) == place(before),
        "another host name: {:?}",
        place(after)
    );
    ensure!(after.uid() != before.uid(), "it is still the same pod");
    Ok(())
}

/// Fails unless nothing guards a name (any more).
pub(super) async fn unguarded(lab: &Lab) -> Result<()> {
    let guards = ListParams::default().labels("godwit.dev/guards-name=true");
    lab.until("the end of the guard", Duration::from_secs(20), async || {
        let found = lab.api::<PodMigration>().list(&guards).await?.items;
        Ok(found.is_empty().then_some(()))
    })
    .await
}
