//! How much memory a container has.

use godwit_container::{cgroup::Freezer, host::Host};
use godwit_memory::range::PAGE;

/// Bytes that the processes of a container have resident (`/proc/PID/statm`, second number); what they share counts for each of them. A
/// process that ends meanwhile has none.
pub(super) fn resident(host: &Host, freezer: &Freezer) -> u64 {
    let processes = freezer.processes().unwrap_or_default();
    let pages = |pid: i32| -> Option<u64> {
        let text = std::fs::read_to_string(host.process(pid).join("statm")).ok()?;
        text.split(' ').nth(1)?.parse().ok()
    };
    processes.into_iter().filter_map(pages).sum::<u64>() * PAGE
}
