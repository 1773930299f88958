//! What a process is, from /proc.

use std::fs::{self, File};
use std::io::{self, Read};

use nix::errno::Errno;

use super::maps::{self, Mapping};

/// The parts of `/proc/PID/status` and `/proc/PID/stat` that matter here (proc(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "facts that have nothing to do with each other"
)]
pub struct Process {
    /// Its PID here.
    pub pid: i32,
    /// Its PID in the innermost namespace.
    pub ns_pid: i32,
    /// When it was started, in clock ticks since the machine was; tells two processes with the same PID apart.
    pub started: u64,
    /// It has ended, or its main thread has.
    pub zombie: bool,
    /// How many threads it has.
    pub threads: u32,
    /// Who traces it; 0 if nobody.
    pub tracer: i32,
    /// Whether a seccomp filter is in force.
    pub filtered: bool,
    /// Whether some of its memory is locked.
    pub locked: bool,
    /// Whether it has memory of its own; kernel threads and ended processes have none.
    pub memory: bool,
}

/// Whether this error means that the process is not there any more.
pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH))
}

/// The PID in the innermost namespace, from the text of `/proc/PID/status`: the last number of `NSpid` (proc(5)).
pub fn pid_inside(status: &str) -> Option<i32> {
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_ascii_whitespace().last()?.parse().ok()
}

impl Process {
    /// Looks at a process; `None` if there is none.
    pub fn read(pid: i32) -> io::Result<Option<Self>> {
        let files = fs::read_to_string(format!("/proc/{pid}/status"))
            .and_then(|status| Ok((status, fs::read_to_string(format!("/proc/{pid}/stat"))?)));
        match files {
            Ok((status, stat)) => Self::parse(pid, &status, &stat)
                .map(Some)
                .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData)),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn parse(pid: i32, status: &str, stat: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line[name.len()..].strip_prefix(':').map(str::trim)
        };
        // The name in parentheses may hold anything, even a parenthesis; what follows the last one is numbers, from field 3 on.
        let started = stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?;
        let locked = field("VmLck").and_then(|value| value.split_ascii_whitespace().next());
        Some(Self {
            pid,
            ns_pid: pid_inside(status)?,
            started: started.parse().ok()?,
            zombie: field("State")?.starts_with(['Z', 'X']),
            threads: field("Threads")?.parse().ok()?,
            tracer: field("TracerPid")?.parse().ok()?,
            filtered: field("Seccomp").is_some_and(|mode| mode != "0"),
            locked: locked.is_some_and(|size| size != "0"),
            memory: locked.is_some(),
        })
    }

    /// Its mappings; `None` if it has ended.
    pub fn mappings(&self) -> io::Result<Option<Vec<Mapping>>> {
        let Some(text) = self.text("maps")? else {
            return Ok(None);
        };
        let mut mappings = maps::parse(&text);
        if self.locked {
            let Some(smaps) = self.text("smaps")? else {
                return Ok(None);
            };
            maps::mark_locked(&mut mappings, &maps::locked(&smaps));
        }
        Ok(Some(mappings))
    }

    /// Names of mappings may be any bytes.
    fn text(&self, name: &str) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        let result = File::open(format!("/proc/{}/{name}", self.pid))
            .and_then(|mut file| file.read_to_end(&mut bytes));
        match result {
            Ok(_) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Whether two processes share their memory, as a `vfork`ed child does until its `exec` (kcmp(2), `KCMP_VM`). A process that has ended
/// shares nothing.
pub fn share_memory(one: i32, other: i32) -> Result<bool, Errno> {
    const KCMP_VM: libc::c_long = 1;
    // SAFETY: kcmp takes numbers only.
    let result = unsafe {
        libc::syscall(
            libc::SYS_kcmp,
            libc::c_long::from(one),
            libc::c_long::from(other),
            KCMP_VM,
            0,
            0,
        )
    };
    match Errno::result(result) {
        Ok(order) => Ok(order == 0),
        Err(Errno::ESRCH) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\ta\nState:\tS (sleeping)\nPid:\t10\nTracerPid:\t0\nNSpid:\t10\t7\t1\nVmLck:\t       0 kB\nThreads:\t3\nSeccomp:\t2\n";
    const STAT: &str = "10 (a) b) S 1 10 10 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 8765 1 2 3";

    #[test]
    fn reads_what_matters() {
        let process = Process::parse(10, STATUS, STAT).unwrap();
        assert_eq!(
            process,
            Process {
                pid: 10,
                ns_pid: 1,
                started: 8765,
                zombie: false,
                threads: 3,
                tracer: 0,
                filtered: true,
                locked: false,
                memory: true,
            }
        );
    }

    #[test]
    fn the_innermost_pid_counts() {
        assert_eq!(pid_inside(STATUS), Some(1));
        assert_eq!(pid_inside("Name:\tx\n"), None);
        assert_eq!(pid_inside("NSpid:\t\n"), None);
    }

    #[test]
    fn ended_processes_have_no_memory() {
        let status = STATUS
            .replace("S (sleeping)", "Z (zombie)")
            .replace("VmLck:\t       0 kB\n", "");
        let process = Process::parse(10, &status, STAT).unwrap();
        assert!(process.zombie && !process.memory);
        assert_eq!(Process::read(i32::MAX).unwrap(), None);
    }

    #[test]
    fn a_process_shares_memory_with_itself_only() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(share_memory(own, own).unwrap());
        assert!(!share_memory(own, i32::MAX).unwrap());
    }
}
