//! The processes of the program.

use std::io;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::board::Board;
use crate::settings::{MOST, Settings};
use crate::shared::Shared;
use crate::{Failure, twin, worker};

/// How long filling the memory may take.
const FILLED: Duration = Duration::from_mins(3);

/// The children of the first process.
pub(crate) struct Processes {
    pids: Vec<(String, libc::pid_t)>,
}

/// Fork all of them. This process must have no other thread.
pub(crate) fn start(settings: &Settings, board: &'static Board) -> Result<Processes, Failure> {
    let shared = Shared::new()?;
    let mut pids = Vec::new();
    for number in 0..settings.processes {
        let pid = fork(|| worker::work(number, settings, board, shared))?;
        pids.push((format!("process {number}"), pid));
    }
    if settings.churn {
        pids.push(("twin".to_owned(), fork(|| twin::work(board))?));
    }
    let mut processes = Processes { pids };
    processes.await_ready(board)?;
    Ok(processes)
}

/// A child that does `work` and ends with 0, or with 1 if that fails. It does not outlive its parent.
pub(crate) fn fork(work: impl FnOnce() -> Result<(), Failure>) -> Result<libc::pid_t, Failure> {
    // SAFETY: the callers have no other thread, so the child may do everything.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error().into()),
        0 => {
            // SAFETY: concerns this process alone.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let code = match work() {
                Ok(()) => 0,
                Err(error) => {
                    eprintln!("pagewriter {}: {error}", std::process::id());
                    1
                }
            };
            std::process::exit(code);
        }
        pid => Ok(pid),
    }
}

impl Processes {
    fn await_ready(&mut self, board: &'static Board) -> Result<(), Failure> {
        let began = Instant::now();
        let slots: Vec<usize> = (0..self.pids.len())
            .map(|at| if self.pids[at].0 == "twin" { MOST } else { at })
            .collect();
        while slots
            .iter()
            .any(|&slot| board.processes[slot].ready.load(Ordering::Acquire) == 0)
        {
            self.reap(board);
            if board.damages() > 0 {
                return Err(board.told().into());
            }
            if began.elapsed() > FILLED {
                return Err("a process is not ready in time".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Where on the board they are.
    pub(crate) fn slots(&self) -> Vec<usize> {
        self.pids
            .iter()
            .enumerate()
            .map(|(at, (name, _))| if name == "twin" { MOST } else { at })
            .collect()
    }

    /// Notices children that have ended: before `stop` that is damage. Children of children come here too.
    pub(crate) fn reap(&mut self, board: &Board) {
        loop {
            let mut status = 0;
            // SAFETY: `status` outlives the call.
            let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
            if pid <= 0 {
                return;
            }
            if let Some(at) = self.pids.iter().position(|(_, known)| *known == pid) {
                let (name, _) = &self.pids[at];
                if !board.ends() {
                    board.damaged(&format!("{name} has ended ({})", ending(status)));
                }
                self.pids[at].1 = 0;
            }
        }
    }

    /// Waits until all have ended, at most for `patience`.
    pub(crate) fn join(&mut self, board: &Board, patience: Duration) {
        let began = Instant::now();
        while self.pids.iter().any(|(_, pid)| *pid != 0) && began.elapsed() < patience {
            self.reap(board);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// How a process has ended, in words.
pub(crate) fn ending(status: i32) -> String {
    if libc::WIFSIGNALED(status) {
        format!("signal {}", libc::WTERMSIG(status))
    } else {
        format!("code {}", libc::WEXITSTATUS(status))
    }
}
