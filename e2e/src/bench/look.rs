//! What a look at a pod costs the agent: at one process, and at a crowd, in turns.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use godwit_crds::{MigrationPhase, PodMigration};
use kube::api::PostParams;
use kube::{Api, ResourceExt as _};
use serde_json::json;
use tokio::runtime::Runtime;

use super::client::now_us;
use super::figures::Table;
use super::moved::{self, NAMESPACE, eventually};
use crate::images::workload;
use crate::{Cluster, Node};

/// What to measure.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Looks at each pod that count.
    pub runs: u32,
    /// Processes of the crowd.
    pub processes: u32,
    /// Their mappings, of all together.
    pub mappings: u32,
}

/// Measures; gives the table. Everything that it makes is removed, whether it succeeds or not.
pub fn run(settings: Settings) -> Result<Table> {
    let cluster = Cluster::running()?;
    let runtime = Runtime::new()?;
    let api = runtime.block_on(cluster.client())?;
    moved::clear(&runtime, &api)?;
    let measured = measure(settings, &cluster, &runtime, &api);
    let cleared = moved::clear(&runtime, &api);
    let table = measured?;
    cleared?;
    Ok(table)
}

fn measure(settings: Settings, cluster: &Cluster, runtime: &Runtime, api: &kube::Client) -> Result<Table> {
    let node = cluster.nodes().next().context("the cluster has no node")?;
    let each = settings.mappings.div_ceil(settings.processes.max(1));
    let pods = [("one process", 1), ("a crowd", settings.processes)];
    for (number, (_, processes)) in pods.iter().enumerate() {
        let container = json!({
            "name": "crowd", "image": workload::IMAGE, "imagePullPolicy": "Never",
            "command": ["workload", "crowd", processes.to_string(), each.to_string()],
        });
        moved::pod(runtime, api, &name(number), node.name(), &container)?;
    }
    // The last of the crowd is being started yet.
    std::thread::sleep(Duration::from_secs(2));
    let mut table = Table::default();
    // The first does not count: an agent asks CRIU once for its version.
    for run in 0..=settings.runs {
        for (number, (what, _)) in pods.iter().enumerate() {
            let (cpu_ms, whole_us) = look(runtime, api, &name(number), node)?;
            eprintln!("{what}: {cpu_ms} ms of the agent's CPU time");
            if run > 0 {
                table.add(
                    &format!("{what}: CPU time of the agent, ms"),
                    0,
                    f64::from(cpu_ms),
                );
                table.add_us(&format!("{what}: dry run from end to end, ms"), whole_us);
            }
        }
    }
    Ok(table)
}

fn name(number: usize) -> String {
    format!("godwit-bench-look-{number}")
}

/// A dry run: milliseconds of CPU time that the node's agent took meanwhile, and how long it was in microseconds.
fn look(runtime: &Runtime, api: &kube::Client, pod: &str, node: Node<'_>) -> Result<(u32, u64)> {
    let migrations: Api<PodMigration> = Api::namespaced(api.clone(), NAMESPACE);
    let migration: PodMigration = serde_json::from_value(json!({
        "apiVersion": "godwit.dev/v1alpha1", "kind": "PodMigration",
        "metadata": {"generateName": "godwit-bench-", "labels": {"app": "godwit-bench"}},
        "spec": {"podName": pod, "dryRun": true},
    }))?;
    let agent = node.pid_of("godwit-agent")?;
    let (before, began) = (cpu_ms(agent)?, now_us());
    let ended = runtime.block_on(async {
        let made = migrations.create(&PostParams::default(), &migration).await?;
        let over = |migration: &PodMigration| {
            let status = migration.status.as_ref();
            status.is_some_and(|status| status.phase.is_final())
        };
        eventually(&migrations, &made.name_any(), over).await
    })?;
    let whole = now_us() - began;
    let status = ended.status.unwrap_or_default();
    ensure!(
        status.phase == MigrationPhase::Succeeded,
        "the dry run ended {:?}: {}",
        status.phase,
        status.message.unwrap_or_default()
    );
    Ok((cpu_ms(agent)? - before, whole))
}

/// Processor time of a process so far, of all its threads, in programs and in the kernel (`/proc/PID/stat`, fields 14 and 15).
fn cpu_ms(pid: i32) -> Result<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, after_name) = stat.rsplit_once(')').context("a stat without a name")?;
    let ticks: Vec<u32> = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    // `USER_HZ` is 100 on all architectures of Linux that Kubernetes runs on.
    Ok(ticks.iter().sum::<u32>() * 10)
}
