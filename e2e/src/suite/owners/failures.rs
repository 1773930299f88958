//! A migration that fails before its commit leaves owner and source as they were.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::census::Census;
use super::counting_job::{self, complete, ended_what_began};
use super::replicas;
use super::went_back::went_back;
use crate::suite::failures::fault;
use crate::suite::failures::subject::{AMPLE, Identity, other};
use crate::suite::{Behaviour, Lab, node_of};

pub(super) const OF_A_DEPLOYMENT: Behaviour = Behaviour::new(
    "a failure before the commit leaves a deployment and its pod as they were",
    |lab| Box::pin(of_a_deployment(lab)),
)
.within(Duration::from_mins(6));
pub(super) const OF_A_JOB: Behaviour = Behaviour::new(
    "a failure before the commit leaves a job and its pod as they were",
    |lab| Box::pin(of_a_job(lab)),
)
.within(Duration::from_mins(6));

/// One before anything is frozen, one in the freeze, one at the other end, and the last moment.
const STEPS: [&str; 4] = [
    "source.CopyFiles",
    "source.Dump",
    "target.Restore",
    "source.Commit",
];

/// How long a frozen pod's readiness may take to be seen again.
const AS_BEFORE: Duration = Duration::from_secs(15);

async fn of_a_deployment(lab: &Lab) -> Result<()> {
    let pods = replicas::deployment(lab).await?;
    let census = Census::begin(lab).await?;
    for step in STEPS {
        fails(lab, &pods[0], step)
            .await
            .with_context(|| step.to_owned())?;
    }
    census.says(3, 0)?;
    lab.moved(&pods[0].name_any(), &other(node_of(&pods[0])?, 1))
        .await
        .context("after all the failures")?;
    replicas::settled(lab, 3).await?;
    census.says(3, 0)
}

async fn of_a_job(lab: &Lab) -> Result<()> {
    let pod = counting_job::start(lab, 1, &json!({})).await?.remove(0);
    let id = counting_job::began(lab, &pod).await?;
    let census = Census::begin(lab).await?;
    for step in STEPS {
        fails(lab, &pod, step).await.with_context(|| step.to_owned())?;
    }
    census.says(1, 0)?;
    counting_job::stop(lab, &pod.name_any()).await?;
    complete(lab, 1).await?;
    ended_what_began(lab, &pod.name_any(), &id).await
}

async fn fails(lab: &Lab, pod: &Pod, step: &str) -> Result<()> {
    let (from, to) = (node_of(pod)?.to_owned(), other(node_of(pod)?, 1));
    let node = if step.starts_with("source.") { &from } else { &to };
    let before = seen(lab, pod).await?;
    fault::ask(lab.cluster(), node, &format!("{step}=fail"))?;
    let migration = lab.migrate(&pod.name_any(), &to).await?;
    let status = migration.failed(AMPLE).await;
    fault::met(lab.cluster(), node)?;
    let status = status?;
    went_back(lab, status, "InjectedFault").await?;
    // A probe may have failed in the freeze: the next one tells the owner so.
    let mut after = Value::Null;
    let same = lab
        .until("owner and pod to be as before", AS_BEFORE, async || {
            after = seen(lab, pod).await?;
            Ok((before == after).then_some(()))
        })
        .await;
    same.with_context(|| format!("{before:#} became {after:#}"))?;
    println!("        {step}: as before");
    Ok(())
}

/// The pod, as far as its owner, its user or a controller could care, and every possible owner.
async fn seen(lab: &Lab, pod: &Pod) -> Result<Value> {
    let pod = lab.pods().get(&pod.name_any()).await?;
    let mut owners = Vec::new();
    for set in lab.api::<ReplicaSet>().list(&ListParams::default()).await? {
        owners.push(json!([
            set.metadata.generation,
            set.metadata.annotations,
            set.spec,
            set.status
        ]));
    }
    for job in lab.api::<Job>().list(&ListParams::default()).await? {
        owners.push(json!([
            job.metadata.generation,
            job.metadata.annotations,
            job.spec,
            job.status
        ]));
    }
    let metadata = &pod.metadata;
    Ok(json!({
        "identity": format!("{:?}", Identity::of(&pod)),
        "pod": [
            metadata.labels, metadata.annotations, metadata.owner_references, metadata.finalizers,
            metadata.deletion_timestamp, metadata.generation,
        ],
        "owners": owners,
    }))
}
