//! A leg home that fails is tried again, by Godwit and at last by the user; the data lives all the while.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use godwit_crds::Leg;
use kube::ResourceExt;
use serde_json::json;

use super::names::Names;
use super::set;
use crate::migration::told;
use crate::suite::failures::fault;
use crate::suite::failures::subject::{AMPLE, Subject};
use crate::suite::{Behaviour, Lab, node_of};
use crate::traffic::Redis;

pub(super) const ONCE: Behaviour = Behaviour::new(
    "the way home of a stateful set's pod that fails once is tried again, with its data and its client",
    |lab| Box::pin(once(lab)),
);
pub(super) const BY_HAND: Behaviour = Behaviour::new(
    "a stateful set's pod that is left in its stand-in is brought home by another migration",
    |lab| Box::pin(by_hand(lab)),
);

async fn once(lab: &Lab) -> Result<()> {
    let pod = set::start(lab, 1).await?.remove(0);
    let names = Names::begin(lab).await?;
    let mut subject = Subject::of(lab, &pod, node_of(&pod)?).await?;
    let data = Redis::fill(lab, &pod, 4).await?;
    let sum = data.sum(lab, &pod).await?;
    let to = subject.destination();
    // The agent of the destination is the source's only for the leg home.
    fault::ask(lab.cluster(), &to, "source.Dump=fail")?;
    let migration = subject.departs().await?;
    let status = subject.comes_home(&migration).await;
    fault::met(lab.cluster(), &to)?;
    let status = status?;
    let legs: Vec<Leg> = status.legs.iter().map(|leg| leg.leg).collect();
    ensure!(
        legs == [Leg::Away, Leg::Home, Leg::Home],
        "{legs:?}: {}",
        told(&status)
    );
    let after = set::ready(lab, 1).await?.remove(0);
    set::is_the_same(&after, &pod)?;
    ensure!(data.sum(lab, &after).await? == sum, "it has other data");
    println!("        its client: {}", subject.client());
    subject.leave().await?;
    set::unguarded(lab).await?;
    names.says(1, 0)
}

async fn by_hand(lab: &Lab) -> Result<()> {
    let pod = set::start(lab, 1).await?.remove(0);
    let names = Names::begin(lab).await?;
    let mut subject = Subject::of(lab, &pod, node_of(&pod)?).await?;
    let to = subject.destination();
    fault::ask(lab.cluster(), &to, "source.CopyFiles=hang:60")?;
    // The time is over while the leg home hangs, so there is no other.
    let spec = json!({"podName": subject.name, "target": {"nodeName": to}, "timeout": "12s"});
    let migration = lab.migrate_with(spec).await?;
    fault::reached(lab, &to).await?;
    let legs = lab.api::<godwit_crds::PodMigration>();
    let status = migration.status().await?;
    let home = status.legs.last().context("no leg")?;
    let cancel = json!({"spec": {"cancel": true}});
    tokio::time::sleep(Duration::from_secs(12)).await;
    legs.patch(
        &home.migration,
        &kube::api::PatchParams::default(),
        &kube::api::Patch::Merge(cancel),
    )
    .await?;
    let status = migration.failed(AMPLE).await?;
    println!("        {}", told(&status));
    ensure!(
        status.reason.as_deref() == Some("LeftInStandIn"),
        "another reason: {}",
        told(&status)
    );
    // Nobody makes the pod while the stand-in runs.
    let mut another = pod.clone();
    another.metadata = serde_json::from_value(json!({"name": pod.name_any()}))?;
    another.spec.iter_mut().for_each(|spec| spec.node_name = None);
    another.status = None;
    let refused = lab
        .pods()
        .create(&kube::api::PostParams::default(), &another)
        .await;
    let words = refused.err().context("somebody else made the pod")?.to_string();
    ensure!(words.contains("stand-in"), "refused with: {words}");
    let again = subject.departs().await?;
    subject.comes_home(&again).await.context("the second migration")?;
    set::ready(lab, 1).await?;
    println!("        its client: {}", subject.client());
    subject.leave().await?;
    set::unguarded(lab).await?;
    names.says(1, 0)
}
