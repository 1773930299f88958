//! All threads of a process, stopped. No register is touched, so the end of the tracer, at any moment, only lets them go on.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;

const SEIZE: libc::c_long = 0x4206;
const INTERRUPT: libc::c_long = 0x4207;
const DETACH: libc::c_long = 17;

/// Stopped threads; they run again when this is dropped. Has to be dropped by the thread that made it, as tracing belongs to a thread.
#[derive(Debug)]
pub struct Stopped {
    /// The threads; with the signal each was about to get, 0 if none.
    threads: BTreeMap<i32, i32>,
    not_send: std::marker::PhantomData<*const ()>,
}

fn request(request: libc::c_long, tid: i32, data: libc::c_long) -> Result<(), Errno> {
    // SAFETY: these requests take numbers only.
    let result = unsafe { libc::syscall(libc::SYS_ptrace, request, libc::c_long::from(tid), 0, data) };
    Errno::result(result).map(drop)
}

impl Stopped {
    /// Stops all threads of a process, also those that begin meanwhile.
    pub fn all_threads(pid: i32, within: Duration) -> io::Result<Self> {
        let end = Instant::now() + within;
        let mut stopped = Self {
            threads: BTreeMap::new(),
            not_send: std::marker::PhantomData,
        };
        loop {
            let mut new = false;
            for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
                let name = entry?.file_name();
                let Some(tid) = name.to_str().and_then(|name| name.parse().ok()) else {
                    continue;
                };
                if !stopped.threads.contains_key(&tid) {
                    new |= stopped.add(tid, end)?;
                }
            }
            if !new {
                return Ok(stopped);
            }
        }
    }

    /// Stops one thread; `false` if it has ended.
    fn add(&mut self, tid: i32, end: Instant) -> io::Result<bool> {
        match request(SEIZE, tid, 0) {
            Ok(()) => {}
            Err(Errno::ESRCH) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        self.threads.insert(tid, 0);
        match request(INTERRUPT, tid, 0) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error.into()),
        }
        loop {
            let mut status = 0;
            // SAFETY: the status is a live integer.
            let result = unsafe { libc::waitpid(tid, &raw mut status, libc::WNOHANG | libc::__WALL) };
            match Errno::result(result) {
                Ok(0) | Err(Errno::EINTR) => {}
                Ok(_) if libc::WIFSTOPPED(status) => {
                    let signal = if status >> 16 == 0 {
                        libc::WSTOPSIG(status)
                    } else {
                        0
                    };
                    self.threads.insert(tid, signal);
                    return Ok(true);
                }
                Ok(_) | Err(Errno::ECHILD) => {
                    self.threads.remove(&tid);
                    return Ok(false);
                }
                Err(error) => return Err(error.into()),
            }
            if Instant::now() >= end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for (&tid, &signal) in &self.threads {
            // A thread that has not stopped cannot be detached from; it is when this thread of ours ends, and goes on as soon as it
            // would stop. One that has ended needs nothing.
            let _ = request(DETACH, tid, libc::c_long::from(signal));
        }
    }
}
