//! Many processes with many mappings each, which do nothing.
//!
//! `workload crowd PROCESSES MAPPINGS`: so many processes, each with that many mappings at least; comes back only if they cannot be had.

use std::io;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use crate::Failure;

const PAGE: usize = 4096;

/// Becomes one of them, and starts the others.
pub(crate) fn crowd(processes: u64, mappings: u64) -> Result<(), Failure> {
    let mut others = Vec::new();
    for _ in 1..processes {
        let mut other = Command::new("/proc/self/exe");
        others.push(other.args(["crowd", "1", &mappings.to_string()]).spawn()?);
    }
    for number in mapped()?..mappings {
        // Neighbours with the same rights would become one.
        let rights = if number % 2 == 0 {
            libc::PROT_READ
        } else {
            libc::PROT_WRITE
        };
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: anonymous memory at no fixed address, never used.
        let found = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, rights, flags, -1, 0) };
        if found == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
    }
    loop {
        sleep(Duration::from_millis(100));
        for other in &mut others {
            if let Some(status) = other.try_wait()? {
                return Err(format!("one of the others has ended: {status}").into());
            }
        }
    }
}

fn mapped() -> Result<u64, Failure> {
    Ok(std::fs::read_to_string("/proc/self/maps")?
        .lines()
        .count()
        .try_into()?)
}
