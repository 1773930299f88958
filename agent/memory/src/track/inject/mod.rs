//! Making a running process create a userfaultfd for us, without its noticing.
//!
//! Only the process itself can create a userfaultfd of its memory. So one of its threads is stopped (`PTRACE_SEIZE`, `PTRACE_INTERRUPT`)
//! for some 0.3 ms, makes two system calls it has not written (`userfaultfd`, `close`), and goes on where it was. In between the
//! descriptor is copied with `pidfd_getfd`.

#[cfg(any(test, target_arch = "aarch64"))]
#[cfg_attr(
    not(target_arch = "aarch64"),
    allow(dead_code, reason = "elsewhere only its decisions are tested")
)]
mod aarch64;
mod blocked;
mod error;
mod helper;
mod rseq;
mod sequence;
mod tracee;
#[cfg(any(test, target_arch = "x86_64"))]
#[cfg_attr(
    not(target_arch = "x86_64"),
    allow(dead_code, reason = "elsewhere only its decisions are tested")
)]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64 as machine;
#[cfg(target_arch = "x86_64")]
use x86_64 as machine;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::errno::Errno;

use self::blocked::Blocked;
pub use self::error::InjectError;
use self::sequence::Job;
use super::maps::Mapping;

/// How long a thread may take to stop. The first one gets longer; it may be waiting for a `vfork`ed child.
const PATIENCE: Duration = Duration::from_millis(700);

/// How many threads are tried.
const THREADS: usize = 4;

/// The most that is read of a vdso; it has two or three pages.
const VDSO: u64 = 64 * 1024;

/// Takes a userfaultfd of the process's memory. Also gives how long a thread was stopped.
///
/// `mappings` are those of the process; `filtered` says that it has a seccomp filter. The process's main thread is tried first, some
/// others only if that one does not stop in time.
pub fn userfaultfd(
    pid: i32,
    mappings: &[Mapping],
    filtered: bool,
) -> Result<(OwnedFd, Duration), InjectError> {
    let pidfd = helper::pidfd(pid).map_err(|errno| match errno {
        Errno::ESRCH => InjectError::Gone,
        errno => InjectError::Refused(errno.into()),
    })?;
    let instruction = instruction(pid, mappings)?;
    let mut tids = vec![pid];
    loop {
        for &tid in &tids {
            let line = fs::read_to_string(format!("/proc/{pid}/task/{tid}/syscall"));
            let job = Job {
                tid,
                pidfd: helper::number(&pidfd),
                instruction,
                blocked: line.ok().and_then(|line| Blocked::parse(&line)),
                filtered,
                patience: u64::try_from(PATIENCE.as_nanos()).unwrap_or(u64::MAX),
            };
            match helper::run(&job) {
                Err(InjectError::NotStopped) => {}
                // A thread other than the main one may end at any time without its process.
                Err(InjectError::Gone) if tid != pid => {}
                result => return result,
            }
        }
        if tids != [pid] {
            return Err(InjectError::NotStopped);
        }
        tids = others(pid)?;
    }
}

fn others(pid: i32) -> Result<Vec<i32>, InjectError> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).map_err(|_| InjectError::Gone)?;
    let tids: Vec<i32> = tasks
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&tid| tid != pid)
        .take(THREADS - 1)
        .collect();
    if tids.is_empty() {
        return Err(InjectError::NotStopped);
    }
    Ok(tids)
}

/// Address of an instruction in the process's vdso that enters the kernel.
fn instruction(pid: i32, mappings: &[Mapping]) -> Result<u64, InjectError> {
    let vdso = mappings
        .iter()
        .find(|mapping| mapping.is_vdso())
        .ok_or(InjectError::NoInstruction)?;
    let length = usize::try_from((vdso.end - vdso.start).min(VDSO)).unwrap_or(0);
    let mut bytes = vec![0; length];
    fs::File::open(format!("/proc/{pid}/mem"))
        .and_then(|memory| memory.read_exact_at(&mut bytes, vdso.start))
        .map_err(|_| InjectError::NoInstruction)?;
    let offset = find(&bytes).ok_or(InjectError::NoInstruction)?;
    Ok(vdso.start + offset)
}

fn find(code: &[u8]) -> Option<u64> {
    let position = code
        .windows(machine::INSTRUCTION.len())
        .step_by(machine::ALIGNMENT)
        .position(|window| window == machine::INSTRUCTION)?;
    u64::try_from(position * machine::ALIGNMENT).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_is_found_where_one_may_begin() {
        let mut code = vec![0x90; 32];
        assert_eq!(find(&code), None);
        code[20..20 + machine::INSTRUCTION.len()].copy_from_slice(machine::INSTRUCTION);
        assert_eq!(find(&code), Some(20));
    }
}
