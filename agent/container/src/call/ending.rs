//! Ending a runtime call that will not end, without letting go of the container it works on.
//!
//! CRIU holds the container's processes by ptrace while the freezer says THAWED (CRIU thawed it); killed then, it lets them run on.
//! So: stop the whole tree, so that CRIU cannot thaw the group once more; freeze the container and see it FROZEN; only then kill.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cgroup::{Freezer, State};
use crate::host::Host;
use crate::process;

/// How long the container has to freeze before its CRIU is killed. Processes held by ptrace count as frozen at once.
const FREEZE: Duration = Duration::from_secs(5);
/// How long a killed tree has to be gone. Only a wait inside the kernel (a dead network file system) takes longer.
const GONE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(2);

/// Ends every process that descends from `ancestor` or is of its session, but not `ancestor`. `reap` is called between looks: it
/// takes the exit statuses of the caller's own children. Returns whether the container was FROZEN before the first was killed and still is at the
/// end; none if there is no container.
pub(super) fn end_tree(
    host: &Host,
    ancestor: i32,
    freezer: Option<&Freezer>,
    mut reap: impl FnMut(),
) -> Option<bool> {
    signal_all(host, ancestor, Signal::SIGSTOP);
    let before = freezer.map(|freezer| freezer.freeze(FREEZE));
    if let Some(Err(error)) = &before {
        // Killed all the same: the request stays, so no process gets back to its own code, and waiting for ever would help no one.
        tracing::error!(%error, "the container did not freeze before its runtime call was ended");
    }
    let since = Instant::now();
    while !signal_all(host, ancestor, Signal::SIGKILL).is_empty() && since.elapsed() < GONE {
        reap();
        std::thread::sleep(POLL);
    }
    reap();
    let freezer = freezer?;
    let still = freezer.state().is_ok_and(|state| state == State::Frozen) || freezer.freeze(FREEZE).is_ok();
    Some(still && matches!(before, Some(Ok(()))))
}

/// Signals the tree until no new member shows up, and returns all members seen.
fn signal_all(host: &Host, ancestor: i32, signal: Signal) -> BTreeSet<i32> {
    let mut seen = BTreeSet::new();
    loop {
        let all = process::all(&host.proc).unwrap_or_default();
        let tree = process::tree(&all, ancestor, ancestor);
        let new: Vec<i32> = tree.difference(&seen).copied().collect();
        if new.is_empty() {
            return seen;
        }
        for pid in new {
            // Gone already is as good.
            let _ = kill(Pid::from_raw(pid), signal);
            seen.insert(pid);
        }
    }
}
