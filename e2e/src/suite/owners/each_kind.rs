//! One pod of each kind of owner, on a node each, and everything of it and its owner that anybody could care for.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result};
use godwit_crds::PodMigrationStatus;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{ListParams, PostParams};
use kube::core::NamespaceResourceScope;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::replicas::PATIENCE;
use crate::suite::Lab;
use crate::suite::failures::agents::is_ready;
use crate::suite::failures::subject::{AMPLE, Identity, Subject, gone, redis_container};

/// How long a probe that has failed in a freeze may be seen.
const AS_BEFORE: Duration = Duration::from_secs(20);

/// A pod with a client, and its owner as it was.
pub(super) struct Owned<'a> {
    pub(super) subject: Subject<'a>,
    /// The new pod has the old one's name.
    keeps_name: bool,
    before: Value,
}

/// A kind of owner.
trait Owner:
    kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
{
}

impl Owner for Deployment {}
impl Owner for ReplicaSet {}
impl Owner for Job {}
impl Owner for StatefulSet {}

/// A Deployment, a Job and a StatefulSet of one pod each, on the three nodes.
pub(super) async fn each_kind(lab: &Lab) -> Result<Vec<Owned<'_>>> {
    let set = json!({"replicas": 1, "selector": {"matchLabels": {"app": "set"}}, "serviceName": "set", "template": template("set", "n3")});
    let mut job = template("job", "n2");
    job["spec"]["restartPolicy"] = json!("Never");
    let job = json!({"backoffLimit": 0, "template": job});
    let deployment = json!({"replicas": 1, "selector": {"matchLabels": {"app": "deployment"}}, "template": template("deployment", "n1")});
    make::<Deployment>(lab, "deployment", &deployment).await?;
    make::<Job>(lab, "job", &job).await?;
    make::<StatefulSet>(lab, "set", &set).await?;
    let mut owned = Vec::new();
    for (name, node) in [("deployment", "n1"), ("job", "n2"), ("set", "n3")] {
        let pod = running(lab, name).await?;
        let subject = Subject::of(lab, &pod, node).await?;
        let before = seen(lab, &pod.name_any()).await?;
        owned.push(Owned {
            subject,
            keeps_name: name == "set",
            before,
        });
    }
    Ok(owned)
}

/// Pods of this begin on that node; where they go afterwards is the migration's business.
fn template(name: &str, node: &str) -> Value {
    let mut container = redis_container();
    container["readinessProbe"] = json!({"tcpSocket": {"port": 6379}, "periodSeconds": 1});
    json!({
        "metadata": {"labels": {"app": name}},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [container]},
    })
}

async fn make<K: Owner>(lab: &Lab, name: &str, spec: &Value) -> Result<()> {
    let wanted: K = serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec}))?;
    lab.api::<K>().create(&PostParams::default(), &wanted).await?;
    Ok(())
}

/// Waits for the pod of that owner, and until its owner has counted it.
async fn running(lab: &Lab, name: &str) -> Result<Pod> {
    let of = ListParams::default().labels(&format!("app={name}"));
    let pod = lab
        .until(&format!("the pod of {name}"), PATIENCE, async || {
            let pods = lab.pods().list(&of).await?.items;
            Ok(pods.into_iter().find(is_ready))
        })
        .await?;
    lab.until(&format!("{name} to count its pod"), PATIENCE, async || {
        Ok(counts_one(lab, name).await?.then_some(()))
    })
    .await?;
    Ok(pod)
}

async fn counts_one(lab: &Lab, name: &str) -> Result<bool> {
    let ready = match name {
        "deployment" => lab
            .api::<Deployment>()
            .get(name)
            .await?
            .status
            .and_then(|it| it.available_replicas),
        "job" => lab.api::<Job>().get(name).await?.status.and_then(|it| it.ready),
        _ => lab
            .api::<StatefulSet>()
            .get(name)
            .await?
            .status
            .and_then(|it| it.available_replicas),
    };
    Ok(ready == Some(1))
}

impl Owned<'_> {
    /// Migrates it to the next node, which has to fail; gives how. Fails if that leaves a target or touches the source.
    pub(super) async fn stays(&self) -> Result<PodMigrationStatus> {
        let migration = self.subject.departs().await?;
        if !self.keeps_name {
            return self.subject.stays(&migration).await;
        }
        let status = migration.failed(AMPLE).await?;
        for stand_in in status.legs.iter().filter_map(|leg| leg.pod.as_deref()) {
            gone(self.subject.lab, stand_in).await?;
        }
        self.subject.untouched().await?;
        Ok(status)
    }

    /// Moves it, for real.
    pub(super) async fn moves(&mut self) -> Result<PodMigrationStatus> {
        let migration = self.subject.departs().await?;
        if self.keeps_name {
            self.subject.comes_home(&migration).await
        } else {
            self.subject.arrives(&migration).await
        }
    }

    /// Waits until pod and owners are what they were: a probe may have failed in the freeze, and the next one tells the owner.
    pub(super) async fn is_as_before(&self) -> Result<()> {
        let mut after = Value::Null;
        let same = self
            .subject
            .lab
            .until("owner and pod to be as before", AS_BEFORE, async || {
                after = seen(self.subject.lab, &self.subject.name).await?;
                Ok((self.before == after).then_some(()))
            })
            .await;
        same.with_context(|| format!("{:#} became {after:#}", self.before))
    }
}

/// The pod, as far as its owner, its user or a controller could care, and its owners.
async fn seen(lab: &Lab, pod: &str) -> Result<Value> {
    let pod = lab.pods().get(pod).await?;
    let app = pod.labels().get("app").cloned().unwrap_or_default();
    let metadata = &pod.metadata;
    Ok(json!({
        "identity": format!("{:?}", Identity::of(&pod)),
        "pod": [
            metadata.labels, metadata.annotations, metadata.owner_references, metadata.finalizers,
            metadata.deletion_timestamp, metadata.generation,
        ],
        "owners": [
            owners::<Deployment>(lab, &app).await?,
            owners::<ReplicaSet>(lab, &app).await?,
            owners::<Job>(lab, &app).await?,
            owners::<StatefulSet>(lab, &app).await?,
        ],
    }))
}

/// Those of one kind, without what every write to them changes.
async fn owners<K: Owner>(lab: &Lab, name: &str) -> Result<Vec<Value>> {
    let found = lab.api::<K>().list(&ListParams::default()).await?.items;
    let own = found.into_iter().filter(|it| it.name_any().starts_with(name));
    own.map(|owner| {
        let mut value = serde_json::to_value(owner).context("an owner as text")?;
        if let Some(metadata) = value["metadata"].as_object_mut() {
            metadata.retain(|key, _| !matches!(key.as_str(), "resourceVersion" | "managedFields"));
        }
        Ok(value)
    })
    .collect()
}
