//! Redis forks to save itself while its memory is on its way: the child comes to be while tracking goes on, shares its
//! memory with the parent, and ends on the other node.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::json;

use super::usually;
use crate::migration::Migration;
use crate::suite::{Behaviour, Lab, address_of, node_of};
use crate::traffic::{Load, Redis};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "redis that saves itself in a forked child while its memory is tracked arrives with its data, and its child ends well",
    |lab| Box::pin(run(lab)),
)
.within(Duration::from_mins(10));

const PATIENCE: Duration = Duration::from_mins(2);

async fn run(lab: &Lab) -> Result<()> {
    let mebibytes = usually(256, 1024);
    let redis = lab.redis("redis", "n1").await?;
    let data = Redis::fill(lab, &redis, mebibytes).await?;
    let sum = data.sum(lab, &redis).await?;
    let targets = [("direct".to_owned(), format!("{}:6379", address_of(&redis)?))];
    let load = Load::start(lab, "client", "n3", &targets).await?;
    // So slow (microseconds for each key) that the child lives through the freeze.
    let delay = (20_000_000 / (mebibytes * 1024)).to_string();
    say(lab, &redis, &["config", "set", "rdb-key-save-delay", &delay]).await?;
    let spec = json!({
        "podName": redis.name_any(), "target": {"nodeName": "n2"}, "memory": "PreCopy", "bandwidth": "100M",
    });
    let migration = lab.migrate_with(spec).await?;
    // The first round is under way: the child is new to the tracker.
    migration
        .until("copying memory", PATIENCE, |status| {
            let memory = status.source.as_ref().and_then(|source| source.memory.as_ref());
            memory.is_some_and(|memory| memory.bytes_done > 0)
        })
        .await?;
    say(lab, &redis, &["bgsave"]).await?;
    let done = migration.succeeded().await?;
    let target = lab.running(&Migration::target_name(&done)?).await?;
    let saving = say(lab, &target, &["info", "persistence"]).await?;
    ensure!(
        saving.contains("rdb_bgsave_in_progress:1"),
        "the child had ended before the freeze, or was lost: {saving}"
    );
    say(lab, &target, &["config", "set", "rdb-key-save-delay", "0"]).await?;
    // The child does not hear of that; it ends in its own time.
    lab.until("the end of the saving", PATIENCE, async || {
        let text = say(lab, &target, &["info", "persistence"]).await?;
        Ok(text.contains("rdb_bgsave_in_progress:0").then_some(()))
    })
    .await?;
    let saved = say(lab, &target, &["info", "persistence"]).await?;
    ensure!(
        saved.contains("rdb_last_bgsave_status:ok"),
        "the child failed: {saved}"
    );
    load.progress(lab).await?;
    for connection in load.stop(lab).await? {
        connection.is_whole()?;
    }
    ensure!(
        data.sum(lab, &target).await? == sum,
        "the data is not what it was"
    );
    Ok(())
}

async fn say(lab: &Lab, pod: &Pod, words: &[&str]) -> Result<String> {
    let host = address_of(pod)?.to_string();
    let mut command = vec!["redis-cli", "-e", "-h", &host];
    command.extend(words);
    lab.on_node(node_of(pod)?, &command, Duration::from_secs(30))
        .await
        .with_context(|| format!("redis {}", words.join(" ")))
}
