//! Processes as procfs tells them.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use godwit_proc::bounded;

const STAT_LIMIT: usize = 64 << 10;

/// The few fields of `/proc/PID/stat` that matter here (`proc_pid_stat(5)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// One letter: `R`, `S`, `D`, `T`, `t`, `Z`, …
    pub state: char,
    /// The parent's PID.
    pub parent: i32,
    /// The session's id: the PID of the process that began it.
    pub session: i32,
    /// When the process began, in clock ticks since boot. Together with the PID it names a process for good.
    pub start_ticks: u64,
}

/// Reads `/proc/PID/stat`. [`io::ErrorKind::NotFound`] if there is no such process.
pub fn stat(proc: &Path, pid: i32) -> io::Result<Stat> {
    let text = bounded::read_text(&proc.join(pid.to_string()).join("stat"), STAT_LIMIT).map_err(|error| {
        // A process that ends between open and read answers ESRCH.
        if error.raw_os_error() == Some(nix::libc::ESRCH) {
            io::Error::from(io::ErrorKind::NotFound)
        } else {
            error
        }
    })?;
    parse_stat(&text)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not the form of /proc/PID/stat"))
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let start_ticks = fields.nth(15)?.parse().ok()?;
    Some(Stat {
        state,
        parent,
        session,
        start_ticks,
    })
}

/// One process for good: a PID that was given to another process later is not it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its PID.
    pub pid: i32,
    /// See [`Stat::start_ticks`].
    pub start_ticks: u64,
}

impl ProcessId {
    /// The process that has this PID now.
    pub fn of(proc: &Path, pid: i32) -> io::Result<Self> {
        Ok(Self {
            pid,
            start_ticks: stat(proc, pid)?.start_ticks,
        })
    }

    /// Whether this very process still runs. A zombie does not.
    pub fn is_alive(&self, proc: &Path) -> bool {
        stat(proc, self.pid).is_ok_and(|now| now.start_ticks == self.start_ticks && now.state != 'Z')
    }
}

/// Every process, by PID. Those that end meanwhile are left out.
pub fn all(proc: &Path) -> io::Result<BTreeMap<i32, Stat>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(proc)? {
        if let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok())
            && let Ok(stat) = stat(proc, pid)
        {
            found.insert(pid, stat);
        }
    }
    Ok(found)
}

/// The processes that descend from `ancestor` (without it) or belong to the session `session`. Zombies count: they are still to be
/// waited for.
pub fn tree(all: &BTreeMap<i32, Stat>, ancestor: i32, session: i32) -> BTreeSet<i32> {
    let mut tree: BTreeSet<i32> = BTreeSet::new();
    loop {
        let before = tree.len();
        for (&pid, stat) in all {
            let belongs = stat.session == session || stat.parent == ancestor || tree.contains(&stat.parent);
            if pid != ancestor && belongs {
                tree.insert(pid);
            }
        }
        if tree.len() == before {
            return tree;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = "4211 (a) R (b) S 17 4211 4200 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 9 9\n";
        let stat = parse_stat(text).unwrap();
        assert_eq!(
            stat,
            Stat {
                state: 'S',
                parent: 17,
                session: 4200,
                start_ticks: 987_654
            }
        );
    }

    #[test]
    fn cut_text_is_refused() {
        for text in ["", "1", "1 (x", "1 (x)", "1 (x) S 1 2"] {
            assert_eq!(parse_stat(text), None, "{text:?}");
        }
    }

    #[test]
    fn this_process_is_alive_and_the_same_pid_with_another_start_is_not() {
        let proc = Path::new("/proc");
        let own = ProcessId::of(proc, std::process::id().try_into().unwrap()).unwrap();
        assert!(own.is_alive(proc));
        assert!(
            !ProcessId {
                start_ticks: own.start_ticks + 1,
                ..own
            }
            .is_alive(proc)
        );
    }

    #[test]
    fn the_tree_holds_grandchildren_and_session_members_but_not_the_ancestor() {
        let stat = |parent, session| Stat {
            state: 'S',
            parent,
            session,
            start_ticks: 1,
        };
        let all = BTreeMap::from([
            (1, stat(0, 1)),
            (10, stat(1, 10)),
            (9, stat(11, 9)),
            (11, stat(10, 11)),
            (12, stat(1, 10)),
            (13, stat(1, 13)),
        ]);
        assert_eq!(tree(&all, 10, 10), BTreeSet::from([9, 11, 12]));
    }
}
