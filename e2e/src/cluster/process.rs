//! A process that can be told from a later one with the same number.

use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// A process by number and start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its number in the host's PID namespace.
    pub pid: i32,
    /// When it started, in clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub started: u64,
}

impl ProcessId {
    /// The process that has this number now; `None` if there is none.
    pub fn of(pid: i32) -> Option<Self> {
        Some(Self {
            pid,
            started: started(pid)?,
        })
    }

    /// Whether that very process is still running.
    pub fn alive(self) -> bool {
        started(self.pid) == Some(self.started)
    }

    /// Its number for system calls.
    pub fn number(self) -> Pid {
        Pid::from_raw(self.pid)
    }
}

fn started(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, also spaces and parentheses.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::ProcessId;

    #[test]
    fn a_process_is_alive_until_it_is_not() {
        let me = ProcessId::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.alive());
        assert!(
            !ProcessId {
                started: me.started + 1,
                ..me
            }
            .alive()
        );
    }
}
