//! The memory that agents and page servers take, and Godwit's files in memory, at their most.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::{Cluster, Node};

/// How often it is looked at.
const EVERY: Duration = Duration::from_millis(100);
const PROGRAMS: [&str; 2] = ["godwit-agent", "godwit-pages"];

/// Being looked at.
pub(crate) struct Footprint {
    /// Bytes of processes when the look began.
    pub(crate) processes_before: u64,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u64, u64)>,
}

impl Footprint {
    /// Begins to look at these nodes.
    pub(crate) fn watch(cluster: &Cluster, nodes: &[&str]) -> Self {
        let processes_before = nodes
            .iter()
            .filter_map(|name| cluster.node(name).ok())
            .map(processes)
            .sum();
        let stop = Arc::new(AtomicBool::new(false));
        let its = Arc::clone(&stop);
        let (cluster, names) = (
            cluster.clone(),
            nodes.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(),
        );
        let thread = std::thread::spawn(move || {
            let nodes: Vec<_> = names.iter().filter_map(|name| cluster.node(name).ok()).collect();
            let files = || -> u64 { nodes.iter().map(|node| used(&node.path("/run/godwit"))).sum() };
            let (before, mut most, mut largest) = (files(), 0, 0);
            while !its.load(Ordering::Relaxed) {
                most = most.max(nodes.iter().copied().map(processes).sum());
                largest = largest.max(files().saturating_sub(before));
                std::thread::sleep(EVERY);
            }
            (most, largest)
        });
        Self {
            processes_before,
            stop,
            thread,
        }
    }

    /// Bytes of processes, bytes of files, at their most.
    pub(crate) fn end(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// Bytes of all agents and page servers of a node.
fn processes(node: Node<'_>) -> u64 {
    let pids = PROGRAMS.iter().flat_map(|name| node.pids_of(name));
    pids.map(rss).sum()
}

/// Bytes that a process has of its own or shares with forked ones; 0 of one that has ended. Pages of files in memory that it has mapped do not
/// count: the files do.
fn rss(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) * 1024
}

/// Bytes used in the file system of a path.
fn used(path: &PathBuf) -> u64 {
    let Ok(found) = nix::sys::statvfs::statvfs(path) else {
        return 0;
    };
    found.blocks().saturating_sub(found.blocks_free()) * found.fragment_size()
}
