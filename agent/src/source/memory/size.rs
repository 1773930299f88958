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
    pages(host, pid).map_or(0, |(resident, _)| resident * PAGE)
}

/// Bytes of those that belong to nobody else: neither to a file nor to shared memory. Pages that a fork has left to both are counted for both, as
/// they are sent.
pub(in crate::source) fn own_memory(host: &Host, freezer: &Freezer) -> u64 {
    let processes = freezer.processes().unwrap_or_default();
    processes.into_iter().map(|pid| own_memory_of(host, pid)).sum()
}

/// The same of one process; one that has ended has none.
pub(crate) fn own_memory_of(host: &Host, pid: i32) -> u64 {
    pages(host, pid).map_or(0, |(resident, shared)| resident.saturating_sub(shared) * PAGE)
}

/// Pages that are resident, and those of them that are of files and shared memory (`Documentation/filesystems/proc.rst`, `statm`).
fn pages(host: &Host, pid: i32) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(host.process(pid).join("statm")).ok()?;
    let mut numbers = text.split(' ').skip(1).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}
