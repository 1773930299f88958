//! Processes that a signal has stopped, on a node whose containers are frozen by version 1 of cgroups: ptrace waits for the process to become a traced one
//! (`ptrace_attach` in `kernel/ptrace.c`), which it cannot while it is frozen, so that CRIU hangs and the container with it. Without that freezer CRIU takes them.

use std::path::Path;

use godwit_proc::bounded;

use super::report::{Place, Report};

pub(super) const CHECK: &str = "ProcessStopped";
const LINES: usize = 64;

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    if place.process.status.state == b'T' && has_freezer(&place.process.proc) {
        let cure = "let it go on (SIGCONT) before the move, or use nodes with version 2 of cgroups";
        let what = "is stopped, and cannot be dumped while its container is frozen";
        report.refuse(CHECK, place, "state T", what, cure);
    }
}

/// Whether its container has a freezer of version 1.
fn has_freezer(process: &Path) -> bool {
    let mut found = false;
    let _ = bounded::lines(&process.join("cgroup"), LINES, |line| found |= is_freezer(line));
    found
}

/// `6:freezer:/kubepods/…` (`cgroups(7)`)
fn is_freezer(line: &[u8]) -> bool {
    let controllers = line.split(|&byte| byte == b':').nth(1).unwrap_or_default();
    controllers
        .split(|&byte| byte == b',')
        .any(|name| name == b"freezer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_the_freezer_are_found() {
        assert!(is_freezer(b"6:freezer:/kubepods/pod1"));
        assert!(is_freezer(b"6:cpu,freezer:/"));
        assert!(!is_freezer(b"0::/freezer:/"));
        assert!(!is_freezer(b"8:pids:/freezer"));
        assert!(!is_freezer(b""));
    }
}
