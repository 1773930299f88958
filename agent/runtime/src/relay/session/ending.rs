//! How a conversation ends that does not end by itself.

use std::os::fd::AsFd;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Session, Task};
use crate::packet::{self, Packet};
use crate::record::unix_ms;
use crate::relay::RelayError;
use crate::rpc::{self, Kind};

/// How long CRIU may take to give up a dump in good order.
const GIVE_UP_MS: u64 = 10_000;

impl Session {
    /// CRIU has ended, or closed its socket.
    pub(super) fn criu_gone(&mut self) -> Result<(), RelayError> {
        self.write_stages();
        match &self.task {
            Task::Dump {
                freezer: Some(freezer),
                frozen: true,
            } => {
                // CRIU had thawed them and held them by ptrace: killed, it has let them run.
                freezer.freeze(Duration::from_secs(1))?;
                Err(RelayError::CriuGone)
            }
            Task::Dump { .. } | Task::Restore { .. } => Err(RelayError::CriuGone),
            Task::Other | Task::Done => Ok(()),
        }
    }

    /// Ends CRIU, and what it has restored, which must not run: frozen first, because CRIU's end sets its tasks free.
    pub(super) fn clear(&mut self) -> Result<(), RelayError> {
        match &self.task {
            Task::Restore { held, .. } => {
                held.stop();
                self.kill_criu()?;
                held.end()?;
            }
            Task::Dump { freezer, .. } => {
                if let Some(freezer) = freezer {
                    // A container that was not frozen before is thawed by whoever asked for the dump.
                    freezer.freeze(Duration::from_secs(1))?;
                }
                self.kill_criu()?;
            }
            Task::Other | Task::Done => self.kill_criu()?,
        }
        self.write_stages();
        Ok(())
    }

    /// Ends CRIU and waits until it is gone, for two seconds at most.
    fn kill_criu(&self) -> Result<(), RelayError> {
        let killed = self.criu.kill().map_err(|source| RelayError::System {
            action: "end CRIU",
            source,
        });
        killed?;
        let mut polled = [PollFd::new(self.criu.as_fd(), PollFlags::POLLIN)];
        let limit = PollTimeout::try_from(Duration::from_secs(2)).unwrap_or(PollTimeout::MAX);
        // If it does not go its cgroups stay; there is nothing more to do about it here.
        let _ = poll(&mut polled, limit);
        Ok(())
    }

    /// runc is gone in the middle of a dump. CRIU gives up in good order, its code out of the tasks and the freezer as it was, if
    /// its next notification is answered by a failure. If it does not, it is ended.
    pub(super) fn give_up_dump(&mut self) -> Result<(), RelayError> {
        let failure = Packet {
            bytes: rpc::notify_failed(),
            descriptors: Vec::new(),
        };
        // CRIU may wait for runc's answer to its last one already; if not, this answers its next.
        let _ = packet::send(&self.socket, &failure);
        let end = unix_ms().saturating_add(GIVE_UP_MS);
        loop {
            let left = end.saturating_sub(unix_ms());
            if left == 0 {
                return self.clear();
            }
            let mut polled = [
                PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.criu.as_fd(), PollFlags::POLLIN),
            ];
            let timeout = PollTimeout::try_from(Duration::from_millis(left)).unwrap_or(PollTimeout::MAX);
            if poll(&mut polled, timeout).is_err() {
                continue;
            }
            let message = polled[0].revents().is_some_and(|events| !events.is_empty());
            if message && let Ok(Some(packet)) = packet::receive(&self.socket) {
                if rpc::response(&packet.bytes).is_ok_and(|response| response.kind == Kind::Notify) {
                    let _ = packet::send(&self.socket, &failure);
                }
                continue;
            }
            if polled[1].revents().is_some_and(|events| !events.is_empty()) || message {
                self.write_stages();
                return Ok(());
            }
        }
    }
}
