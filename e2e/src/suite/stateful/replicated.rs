//! Redis that replicates: master and replicas move, and stay linked.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::names::Names;
use super::set;
use crate::suite::failures::subject::Subject;
use crate::suite::{Behaviour, Lab, address_of, node_of};
use crate::traffic::Redis;

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "a replicated redis of a stateful set moves, master and replica, and the replicas stay linked",
    |lab| Box::pin(run(lab)),
)
.within(Duration::from_mins(4));

async fn run(lab: &Lab) -> Result<()> {
    let mut pods = set::start(lab, 3).await?;
    let master = address_of(&pods[0])?.to_string();
    for replica in &pods[1..] {
        cli(lab, replica, &["replicaof", &master, "6379"]).await?;
    }
    for replica in &pods[1..] {
        linked(lab, replica).await?;
    }
    let names = Names::begin(lab).await?;
    let data = Redis::fill(lab, &pods[0], 4).await?;
    let sum = data.sum(lab, &pods[0]).await?;
    let mut client = Subject::of(lab, &pods[0], node_of(&pods[0])?).await?;
    let migration = client.departs().await?;
    client.comes_home(&migration).await.context("the master")?;
    pods = set::ready(lab, 3).await?;
    let to = crate::suite::failures::subject::other(node_of(&pods[1])?, 1);
    lab.moved("redis-1", &to).await.context("a replica")?;
    pods = set::ready(lab, 3).await?;
    for replica in &pods[1..] {
        linked(lab, replica).await?;
        ensure!(data.sum(lab, replica).await? == sum, "a replica has other data");
    }
    // What is written now arrives.
    cli(lab, &pods[0], &["set", "after", "the-move"]).await?;
    for replica in &pods[1..] {
        let arrives = lab
            .until("a write to arrive", Duration::from_secs(20), async || {
                let found = cli(lab, replica, &["get", "after"]).await?;
                Ok(found.contains("the-move").then_some(()))
            })
            .await;
        if arrives.is_err() {
            let ends = [&pods[0], replica].map(|pod| cli(lab, pod, &["info", "replication"]));
            let ends = try_join_all(ends).await?;
            let name = replica.name_any();
            return arrives.with_context(|| format!("{name}; the master: {}\nit: {}", ends[0], ends[1]));
        }
    }
    let syncs = cli(lab, &pods[0], &["info", "stats"]).await?;
    let full = syncs
        .lines()
        .find(|line| line.starts_with("sync_full"))
        .unwrap_or_default()
        .to_owned();
    println!(
        "        {} (two to begin with); the master's client: {}",
        full.trim(),
        client.client()
    );
    client.leave().await?;
    names.says(3, 2)
}

/// Waits until a replica says that it has its master.
async fn linked(lab: &Lab, replica: &Pod) -> Result<()> {
    lab.until("the link to the master", Duration::from_secs(40), async || {
        let info = cli(lab, replica, &["info", "replication"]).await?;
        Ok(info.contains("master_link_status:up").then_some(()))
    })
    .await
}

async fn cli(lab: &Lab, pod: &Pod, words: &[&str]) -> Result<String> {
    let host = address_of(pod)?.to_string();
    let mut command = vec!["redis-cli", "-e", "-h", &host];
    command.extend(words);
    lab.on_node(node_of(pod)?, &command, Duration::from_secs(20))
        .await
}
