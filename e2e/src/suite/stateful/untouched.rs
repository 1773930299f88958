//! A migration that fails before the pod has left leaves set and pod as they were.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use serde_json::{Value, json};

use super::names::Names;
use super::set;
use crate::migration::told;
use crate::suite::failures::fault;
use crate::suite::failures::subject::{AMPLE, Subject, gone};
use crate::suite::{Behaviour, Lab, node_of};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a failure before a stateful set's pod has left leaves set and pod as they were",
    |lab| Box::pin(run(lab)),
)
.within(Duration::from_mins(5));

/// One before anything is frozen, one in the freeze, one at the other end, and the last moment.
const STEPS: [&str; 4] = [
    "source.CopyFiles",
    "source.Dump",
    "target.Restore",
    "source.Commit",
];

async fn run(lab: &Lab) -> Result<()> {
    let pod = set::start(lab, 1).await?.remove(0);
    let names = Names::begin(lab).await?;
    let subject = Subject::of(lab, &pod, node_of(&pod)?).await?;
    let before = seen(lab).await?;
    for step in STEPS {
        fails(lab, &subject, step)
            .await
            .with_context(|| step.to_owned())?;
        let mut after = Value::Null;
        let same = lab
            .until("the set to be as before", Duration::from_secs(15), async || {
                after = seen(lab).await?;
                Ok((before == after).then_some(()))
            })
            .await;
        same.with_context(|| format!("{before:#} became {after:#}"))?;
        println!("        {step}: as before");
    }
    subject.leave().await?;
    set::ready(lab, 1).await?;
    names.says(1, 0)
}

async fn fails(lab: &Lab, subject: &Subject<'_>, step: &str) -> Result<()> {
    let to = subject.destination();
    let node = if step.starts_with("source.") {
        &subject.node
    } else {
        &to
    };
    fault::ask(lab.cluster(), node, &format!("{step}=fail"))?;
    let migration = subject.departs().await?;
    let status = migration.failed(AMPLE).await;
    fault::met(lab.cluster(), node)?;
    let status = status?;
    ensure!(
        status.reason.as_deref() == Some("InjectedFault"),
        "another reason: {}",
        told(&status)
    );
    ensure!(status.legs.len() == 1, "it went on: {:?}", status.legs);
    if let Some(stand_in) = &status.legs[0].pod {
        gone(lab, stand_in).await?;
    }
    set::unguarded(lab).await?;
    subject.untouched().await
}

/// The set and its pod, as far as anybody could care.
async fn seen(lab: &Lab) -> Result<Value> {
    let set = lab.api::<StatefulSet>().get(set::NAME).await?;
    let pod = lab.pods().get("redis-0").await?.metadata;
    Ok(json!([
        set.metadata.generation,
        set.metadata.annotations,
        set.spec,
        set.status,
        pod.uid,
        pod.labels,
        pod.annotations,
        pod.owner_references,
        pod.finalizers,
        pod.deletion_timestamp,
    ]))
}
