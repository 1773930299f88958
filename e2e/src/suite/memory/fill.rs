//! The process that fills memory in is killed, again and again.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use super::writer::Writer;
use crate::Node;
use crate::migration::{Migration, told};
use crate::suite::failures::subject::AMPLE;
use crate::suite::{Behaviour, Lab};

pub(super) const BEHAVIOUR: Behaviour = Behaviour::new(
    "memory is whole although the page server is killed while it fills it in",
    |lab| Box::pin(run(lab)),
)
.within(Duration::from_mins(6));

const SERVER: &str = "godwit-pages";
/// How often it is killed in one migration.
const TIMES: usize = 2;
/// A new one gets so far before it is killed.
const LIFE: Duration = Duration::from_millis(120);

async fn run(lab: &Lab) -> Result<()> {
    // Large enough that filling takes a while; the program looks at pages all the time, so that some are asked for.
    let mut writer = Writer::start(
        lab,
        "n1",
        &["memory=512M", "rate=5M", "processes=2", "look=20000", "churn=yes"],
    )
    .await?;
    let migration = writer.departs(json!({"memory": "PreCopy"})).await?;
    let killed = kill_workers(lab.cluster().node(&writer.destination()?)?, &migration).await?;
    let status = writer.arrives(&migration).await?;
    println!("        killed {killed:?}: {}", told(&status));
    ensure!(
        !killed.is_empty(),
        "no page server was ever seen: nothing was shown"
    );
    writer.verify().await?;
    writer.goes_on().await?;
    writer.untracked().await
}

/// Kills the workers, not the process that keeps the descriptors and starts them; gives their PIDs.
async fn kill_workers(node: Node<'_>, migration: &Migration) -> Result<BTreeSet<i32>> {
    let (mut killed, end) = (BTreeSet::new(), Instant::now() + AMPLE);
    while killed.len() < TIMES && Instant::now() < end {
        let servers = node.pids_of(SERVER);
        let workers = servers
            .iter()
            .filter(|&&pid| parent(pid).is_some_and(|parent| servers.contains(&parent)))
            .filter(|pid| !killed.contains(*pid))
            .copied();
        if let Some(pid) = workers.max() {
            tokio::time::sleep(LIFE).await;
            // One that has ended by itself does not count.
            if kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok() {
                killed.insert(pid);
            }
            continue;
        }
        if migration.status().await?.phase.is_final() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(killed)
}

/// `PPid` of the host's process `pid`.
fn parent(pid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("PPid:"))
        .and_then(|text| text.trim().parse().ok())
}
