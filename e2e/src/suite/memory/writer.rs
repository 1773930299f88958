//! A pod with the program that knows what should be in its memory (`e2e/programs`, `pagewriter`).

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use godwit_crds::{MigrationPhase, PodMigrationStatus};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use serde_json::{Value, json};

use crate::images;
use crate::migration::{Migration, told};
use crate::suite::failures::subject::{AMPLE, Identity, gone, other};
use crate::suite::{Lab, node_of};
use crate::traffic::ask;

/// Where the program answers.
pub(super) const PORT: u16 = 7300;
/// How long it may take to fill its memory at the start.
const FILLED: Duration = Duration::from_mins(1);

/// A running one.
pub(super) struct Writer<'a> {
    pub(super) lab: &'a Lab,
    pub(super) pod: Pod,
    identity: Identity,
}

impl<'a> Writer<'a> {
    /// Starts one on `node` with these settings (`memory=64M`, …).
    pub(super) async fn start(lab: &'a Lab, node: &str, settings: &[&str]) -> Result<Self> {
        let pod = lab
            .pod("writer", Some(node), json!({"containers": [container(settings)]}))
            .await?;
        Self::of(lab, pod).await
    }

    /// The one that runs in a pod of the caller's.
    pub(super) async fn of(lab: &'a Lab, pod: Pod) -> Result<Self> {
        lab.until("the writer to have all its memory", FILLED, async || {
            Ok(ask(lab, &pod, PORT, "stats").await.ok())
        })
        .await?;
        let identity = Identity::of(&pod);
        Ok(Self { lab, pod, identity })
    }

    /// Its node.
    pub(super) fn node(&self) -> Result<String> {
        Ok(node_of(&self.pod)?.to_owned())
    }

    /// The node to which the behaviours move it.
    pub(super) fn destination(&self) -> Result<String> {
        Ok(other(node_of(&self.pod)?, 1))
    }

    /// Has every page looked at; gives how many there are. Fails with what is damaged.
    pub(super) async fn verify(&self) -> Result<u64> {
        let answer = ask(self.lab, &self.pod, PORT, "verify").await?;
        let Some(pages) = answer.strip_prefix("ok ") else {
            bail!("the memory is not what it was: {answer}");
        };
        Ok(pages.parse()?)
    }

    /// Waits until every process has done some more rounds of everything; fails if anything is damaged.
    pub(super) async fn goes_on(&self) -> Result<()> {
        let rounds = async || {
            let stats = ask(self.lab, &self.pod, PORT, "stats").await?;
            let stats: Value = serde_json::from_str(&stats)?;
            ensure!(
                stats["damages"] == 0,
                "{}",
                ask(self.lab, &self.pod, PORT, "verify").await?
            );
            let rounds = stats["rounds"].as_array().context("no rounds")?;
            Ok(rounds.iter().filter_map(Value::as_u64).collect::<Vec<_>>())
        };
        let before = rounds().await?;
        self.lab
            .until("more rounds of every process", FILLED, async || {
                let now = rounds().await?;
                let all = now.iter().zip(&before).all(|(now, before)| *now > before + 5);
                Ok(all.then_some(()))
            })
            .await
    }

    /// The longest time in which a writer wrote nothing, since it was last asked.
    pub(super) async fn gap(&self) -> Result<Duration> {
        let answer = ask(self.lab, &self.pod, PORT, "gap").await?;
        let gaps: Vec<Value> = serde_json::from_str(&answer).with_context(|| answer.clone())?;
        let longest = gaps.iter().filter_map(|gap| gap["gap_us"].as_u64()).max();
        Ok(Duration::from_micros(longest.context("no writer")?))
    }

    /// A migration of it to its destination, begun. `spec` has the further fields.
    pub(super) async fn departs(&self, spec: Value) -> Result<Migration> {
        let mut all = json!({
            "podName": self.pod.name_any(), "target": {"nodeName": self.destination()?}, "timeout": "100s",
        });
        if let (Value::Object(all), Value::Object(more)) = (&mut all, spec) {
            all.extend(more);
        }
        self.lab.migrate_with(all).await
    }

    /// Waits until a migration has succeeded, and becomes its target. Nothing is verified here.
    pub(super) async fn arrives(&mut self, migration: &Migration) -> Result<PodMigrationStatus> {
        let ended = migration.ended(AMPLE).await?;
        let status = ended.status.clone().unwrap_or_default();
        if status.phase != MigrationPhase::Succeeded {
            bail!("the migration did not succeed: {}", told(&status));
        }
        let filled = status
            .target
            .as_ref()
            .and_then(|target| target.memory.as_ref())
            .is_none_or(|memory| memory.filled);
        ensure!(
            filled,
            "it succeeded before all memory was filled in: {}",
            told(&status)
        );
        self.pod = self.lab.running(&Migration::target_name(&ended)?).await?;
        self.identity = Identity::of(&self.pod);
        Ok(status)
    }

    /// Moves it with these further fields of the spec, and verifies it.
    pub(super) async fn moves(&mut self, spec: Value) -> Result<PodMigrationStatus> {
        let migration = self.departs(spec).await?;
        let status = self.arrives(&migration).await?;
        self.verify().await?;
        Ok(status)
    }

    /// Checks that a migration failed and that this is whole, was not touched, and is not tracked any more.
    pub(super) async fn stays(&self, migration: &Migration) -> Result<PodMigrationStatus> {
        let status = migration.failed(AMPLE).await?;
        let now = self.lab.pods().get(&self.pod.name_any()).await?;
        ensure!(
            Identity::of(&now) == self.identity,
            "the source was touched: {}",
            told(&status)
        );
        self.verify().await.with_context(|| told(&status))?;
        if let Some(target) = status
            .plan
            .as_ref()
            .and_then(|plan| plan.target_pod_name.as_deref())
        {
            gone(self.lab, target).await?;
        }
        self.untracked().await.with_context(|| told(&status))?;
        Ok(status)
    }

    /// Fails if tracking has left anything in its processes: a descriptor, or mappings that are write-protected.
    pub(super) async fn untracked(&self) -> Result<()> {
        let node = self.node()?;
        let mut left = Vec::new();
        let clean = self
            .lab
            .until("the end of the tracking", Duration::from_secs(20), async || {
                left = self.lab.cluster().node(&node)?.pids_of("pagewriter");
                ensure!(!left.is_empty(), "no pagewriter runs on {node}");
                left.retain(|&pid| has_userfaultfd(pid) || is_write_protected(pid));
                Ok(left.is_empty().then_some(()))
            })
            .await;
        clean.with_context(|| format!("still tracked: {left:?}"))
    }
}

/// The container that runs it.
pub(super) fn container(settings: &[&str]) -> Value {
    let port = PORT.to_string();
    let mut command = vec!["/usr/bin/pagewriter", &port];
    command.extend(settings);
    json!({
        "name": "writer", "image": images::workload::IMAGE, "imagePullPolicy": "Never", "command": command,
    })
}

/// Of the host's process `pid`. One that has just ended has none.
fn has_userfaultfd(pid: i32) -> bool {
    let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    files.flatten().any(|file| {
        std::fs::read_link(file.path()).is_ok_and(|target| target.to_string_lossy().contains("userfaultfd"))
    })
}

/// Whether a mapping is registered with a userfaultfd: `uw` (write-protect) or `um` (missing) among its flags.
fn is_write_protected(pid: i32) -> bool {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.strip_prefix("VmFlags:"))
        .any(|flags| flags.split_whitespace().any(|flag| flag == "uw" || flag == "um"))
}
