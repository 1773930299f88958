//! Waiting at the gate, from which on a guard watches over the relay.

use std::os::fd::{AsFd, OwnedFd};

use godwit_memory::causes::with_causes;
use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, pipe};

use super::{Session, Task, send};
use crate::packet::Packet;
use crate::process;
use crate::record::{self, RecordDir, Waiting};
use crate::relay::{RelayError, gate};
use crate::rpc::{self, Kind};

impl Session {
    /// Waits at the gate; if it stays closed runc gets a refusal.
    pub(super) fn gate(&mut self, kind: Kind) -> Result<(), RelayError> {
        let failed = |action| move |source| RelayError::System { action, source };
        let (told, tell) = pipe().map_err(failed("make a pipe"))?;
        if let Some(worker) = process::fork().map_err(failed("fork"))? {
            drop(tell);
            self.guard(worker, &told);
        }
        self.tell_guard = Some(tell);
        self.stage("waiting");
        let freezer = match &self.task {
            Task::Dump { freezer, .. } => freezer.as_ref(),
            Task::Restore { held, .. } => Some(held.freezer()),
            Task::Other | Task::Done => None,
        };
        let freezer = freezer.map(|freezer| freezer.directory().to_path_buf());
        let waiting = Waiting {
            freezer,
            relay_pid: nix::unistd::getppid().as_raw(),
            criu_pid: self.criu.pid(),
        };
        let directory = RecordDir::open_handed(&self.gate)?;
        let passed = gate::pass(
            &directory,
            &waiting,
            self.runc.as_fd(),
            self.criu.as_fd(),
            self.orders.deadline_ms,
        );
        self.directory = Some(directory);
        let error = match passed {
            Ok(watch) => {
                self.watch = Some(watch);
                self.stage("go");
                return Ok(());
            }
            Err(error) => error,
        };
        let refusal = Packet {
            bytes: rpc::refusal(kind, &with_causes(&error)),
            descriptors: Vec::new(),
        };
        // CRIU has not been asked yet: a container to dump is left alone, of one to restore there are but its cgroups.
        if kind == Kind::Dump {
            self.task = Task::Other;
        }
        let _ = send(&self.runc, &refusal);
        Err(error)
    }

    /// From here on the relay is a child of this process, which only waits for it. Both hold the sockets, so if the relay is
    /// killed CRIU stands still at its next notification, and the guard clears up in the right order. Never returns.
    fn guard(&mut self, worker: i32, told: &OwnedFd) -> ! {
        let status = loop {
            match waitpid(Pid::from_raw(worker), None) {
                Err(Errno::EINTR) => {}
                other => break other,
            }
        };
        if let Ok(WaitStatus::Exited(_, code)) = status {
            std::process::exit(code);
        }
        if nix::unistd::read(told, &mut [0]).is_ok_and(|length| length > 0) {
            // CRIU was done: what it has restored is runc's by now, and held.
            std::process::exit(0);
        }
        if let Ok(directory) = RecordDir::open_handed(&self.gate) {
            let _ = directory.write_json(record::RELAY_FAILED, &RelayError::RelayGone.failed());
        }
        let cleared = match &self.task {
            Task::Dump { .. } => self.give_up_dump(),
            Task::Other | Task::Done | Task::Restore { .. } => self.clear(),
        };
        std::process::exit(if cleared.is_ok() { 1 } else { 2 });
    }
}
