//! A container that writes too fast gets less CPU time for a while, and its own limit back whatever becomes of it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use godwit_crds::MigrationPhase;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::writer::{Writer, container};
use crate::cluster::cgroups::members;
use crate::migration::{Migration, told};
use crate::suite::failures::agents::{agent_back, kill_agent, renew_agent};
use crate::suite::failures::subject::AMPLE;
use crate::suite::failures::traces::Traces;
use crate::suite::{Behaviour, Lab};

pub(super) const ENDS: Behaviour = Behaviour::new(
    "a pod that is slowed down until it can be frozen in time is moved, or stays, with the CPU time that it had",
    |lab| Box::pin(ends(lab)),
)
.within(Duration::from_mins(8));
pub(super) const BROKEN_OFF: Behaviour = Behaviour::new(
    "a pod that is slowed down has its CPU time again when the migration is cancelled or its agent killed",
    |lab| Box::pin(broken_off(lab)),
)
.within(Duration::from_mins(8));

/// It writes its memory several times in a second, and nothing of it can be compressed.
const SETTINGS: [&str; 4] = ["memory=384M", "rate=max", "threads=1", "churn=yes"];
/// More than a freeze's fixed costs, less than a freeze with all that is written while a round lasts.
const BUDGET: &str = "600ms";
/// How long it may take until a container is slowed down: that is tried when rounds alone do not help.
const SLOWED_DOWN: Duration = Duration::from_secs(80);
/// How long the limit may take to be put back once the migration has ended.
const PUT_BACK: Duration = Duration::from_secs(20);

fn spec() -> Value {
    json!({"memory": "PreCopy", "freezeBudget": BUDGET, "autoConverge": true})
}

async fn ends(lab: &Lab) -> Result<()> {
    // Without a limit of its own, and with one: what is put back differs.
    for (name, limits) in [("free", json!({})), ("limited", json!({"cpu": "1500m"}))] {
        let mut container = container(&SETTINGS);
        container["resources"] = json!({"limits": limits, "requests": {"cpu": "10m"}});
        let pod = lab
            .pod(name, Some("n1"), json!({"containers": [container]}))
            .await?;
        let mut writer = Writer::of(lab, pod).await?;
        moved_or_refused(&mut writer)
            .await
            .with_context(|| name.to_owned())?;
        lab.delete_pod(&writer.pod.name_any()).await?;
    }
    Ok(())
}

async fn moved_or_refused(writer: &mut Writer<'_>) -> Result<()> {
    let before = Traces::now(writer.lab).await?;
    let limit = CpuLimit::of(writer)?;
    let migration = writer.departs(spec()).await?;
    let percent = slowed_down(writer, &migration, &limit).await?;
    let status = migration.ended(AMPLE).await?.status.unwrap_or_default();
    println!(
        "        was {}, slowed down to {percent}: {}",
        limit.text,
        told(&status)
    );
    if status.phase == MigrationPhase::Succeeded {
        writer.arrives(&migration).await?;
        writer.verify().await?;
        let there = CpuLimit::of(writer)?;
        ensure!(
            there.text == limit.text,
            "it had {} and has {} at the target",
            limit.text,
            there.text
        );
        return writer.goes_on().await;
    }
    writer.stays(&migration).await?;
    ensure!(
        matches!(
            status.reason.as_deref(),
            Some("DirtyRateTooHigh" | "FreezeBudgetExceeded")
        ),
        "another reason: {}",
        told(&status)
    );
    let memory = status.source.as_ref().and_then(|source| source.memory.as_ref());
    ensure!(
        memory.is_none_or(|memory| memory.throttle_percent.is_none()),
        "it is said to be slowed down still: {memory:?}"
    );
    limit.is_back(writer.lab).await?;
    before.no_more(writer.lab).await?;
    writer.goes_on().await
}

async fn broken_off(lab: &Lab) -> Result<()> {
    let before = Traces::now(lab).await?;
    let mut writer = Writer::start(lab, "n1", &SETTINGS).await?;
    let node = writer.node()?;
    let limit = CpuLimit::of(&writer)?;

    let migration = writer.departs(spec()).await?;
    let percent = slowed_down(&writer, &migration, &limit).await?;
    migration.cancel().await?;
    let status = writer.stays(&migration).await?;
    println!(
        "        cancelled when slowed down to {percent}: {}",
        told(&status)
    );
    ensure!(
        status.reason.as_deref() == Some("Cancelled"),
        "another reason: {}",
        told(&status)
    );
    limit.is_back(lab).await.context("cancelled")?;
    before.no_more(lab).await?;

    let migration = writer.departs(spec()).await?;
    let percent = slowed_down(&writer, &migration, &limit).await?;
    kill_agent(lab, &node)?;
    agent_back(lab, &node).await?;
    let stayed = writer.stays(&migration).await;
    renew_agent(lab, &node).await?;
    println!(
        "        agent killed when slowed down to {percent}: {}",
        told(&stayed?)
    );
    limit.is_back(lab).await.context("agent killed")?;
    before.no_more(lab).await?;

    writer.goes_on().await?;
    writer
        .moves(json!({"memory": "PreCopy"}))
        .await
        .context("after all that")?;
    Ok(())
}

/// Waits until the container has another limit than it had; gives that. Fails if the migration ends without.
async fn slowed_down(writer: &Writer<'_>, migration: &Migration, limit: &CpuLimit) -> Result<String> {
    let what = "the container to be slowed down";
    writer
        .lab
        .until(what, SLOWED_DOWN, async || {
            // Gone with the source's pod, if the migration was too fast for us.
            let now = std::fs::read_to_string(&limit.file).unwrap_or_default();
            if !now.is_empty() && now.trim() != limit.text {
                return Ok(Some(now.trim().to_owned()));
            }
            let status = migration.status().await?;
            if status.phase.is_final() {
                bail!("it was never seen slowed down: {}", told(&status));
            }
            Ok(None)
        })
        .await
}

/// What a container's group says of its CPU time, read on the node.
struct CpuLimit {
    file: PathBuf,
    text: String,
}

impl CpuLimit {
    /// Of the container that the writer runs in.
    fn of(writer: &Writer<'_>) -> Result<Self> {
        let cluster = writer.lab.cluster();
        let node = writer.node()?;
        let pids = cluster.node(&node)?.pids_of("pagewriter");
        let groups = cluster
            .state()
            .nodes
            .iter()
            .find(|state| state.name == node)
            .map(|state| state.groups.all());
        let file = limit_file(&groups.unwrap_or_default(), &pids)
            .with_context(|| format!("no group of {node} limits the CPU time of {pids:?}"))?;
        let text = std::fs::read_to_string(&file)?.trim().to_owned();
        Ok(Self { file, text })
    }

    /// Waits until it is as it was.
    async fn is_back(&self, lab: &Lab) -> Result<()> {
        lab.until("the former CPU limit", PUT_BACK, async || {
            let now = std::fs::read_to_string(&self.file)?;
            Ok((now.trim() == self.text).then_some(()))
        })
        .await
        .with_context(|| {
            let now = std::fs::read_to_string(&self.file);
            format!("it was {}, it is {now:?}", self.text)
        })
    }
}

/// The file that limits the CPU time of one of these processes, in one of these groups.
fn limit_file(groups: &[PathBuf], pids: &[i32]) -> Option<PathBuf> {
    let holds_any = |dir: &&PathBuf| members(dir).iter().any(|pid| pids.contains(pid));
    let mut files = groups
        .iter()
        .filter(holds_any)
        .flat_map(|dir| ["cpu.cfs_quota_us", "cpu.max"].map(|name| dir.join(name)));
    files.find(|file| file.exists())
}
