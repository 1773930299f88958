//! How much memory a container has.

use godwit_container::{cgroup::Freezer, host::Host};
use godwit_memory::range::PAGE;

/// Bytes that the processes of a container have resident; what they share counts for each of them.
pub(super) fn resident(host: &Host, freezer: &Freezer) -> u64 {
    let processes = freezer.processes().unwrap_or_default();
    processes.into_iter().map(|pid| resident_of(host, pid)).sum()
}

/// Bytes that a process has resident (`/proc/PID/statm`, second number); one that has ended has none.
pub(crate) fn resident_of(host: &Host, pid: i32) -> u64 {
    let pages = || -> Option<u64> {
        let text = std::fs::read_to_string(host.process(pid).join("statm")).ok()?;
        text.split(' ').nth(1)?.parse().ok()
    };
    pages().unwrap_or(0) * PAGE
}
