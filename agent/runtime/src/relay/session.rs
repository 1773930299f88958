//! One conversation between runc and CRIU.

mod descriptors;
mod ending;
mod guarded;
mod hidden;
mod stages;

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};

use super::RelayError;
use super::hold::Held;
use crate::cgroup::{Freezer, Membership};
use crate::packet::{self, Packet};
use crate::process::Process;
use crate::record::{self, HELD, IMAGES, RecordDir, Stage, unix_us};
use crate::rpc::{self, Kind};
use crate::veil::Hiding;
use crate::watch::Watch;

/// One conversation between runc and CRIU.
#[derive(Debug)]
pub(super) struct Session {
    runc: OwnedFd,
    socket: OwnedFd,
    criu: Process,
    runc_pid: i32,
    home: Membership,
    gate: PathBuf,
    orders: Orders,
    directory: Option<RecordDir>,
    /// Kept only to be closed late.
    watch: Option<Watch>,
    /// Tells the guard that CRIU is done.
    tell_guard: Option<OwnedFd>,
    /// Copies of runc's descriptors under runc's numbers.
    mirrored: Vec<OwnedFd>,
    stages: Vec<Stage>,
    task: Task,
    hiding: Option<Hiding>,
    init_pid: Option<i32>,
    /// runc has nothing more to say.
    runc_quiet: bool,
}

/// What is wanted of a dump or restore.
#[derive(Debug)]
pub(super) struct Orders {
    /// A restored container is to be frozen before its first instruction.
    pub(super) hold: bool,
    /// Lazy memory is left to others.
    pub(super) lazy: bool,
    /// This process and CRIU have mounts of their own, so that lazy memory can be hidden from CRIU.
    pub(super) veiled: bool,
    /// Our end of CRIU's page server, at a lazy dump: only kept.
    #[allow(dead_code, reason = "CRIU answers into it")]
    pub(super) pages: Option<OwnedFd>,
    /// Until when to wait at the gate, in milliseconds since 1970.
    pub(super) deadline_ms: u64,
}

/// What CRIU is doing.
#[derive(Debug)]
enum Task {
    /// Nothing yet, or something that is none of our business.
    Other,
    Dump {
        /// The container's freezer.
        freezer: Option<Freezer>,
        /// The container was frozen when the gate was opened.
        frozen: bool,
    },
    Restore {
        held: Held,
        frozen: bool,
    },
    /// A dump or restore is done: `RESTORE` or `DUMP` was answered.
    Done,
}

impl Session {
    pub(super) fn new(
        runc: OwnedFd,
        socket: OwnedFd,
        criu: Process,
        runc_pid: i32,
        gate: PathBuf,
        orders: Orders,
    ) -> Result<Self, RelayError> {
        let home = Membership::of(runc_pid)?;
        let stages = vec![Stage {
            name: "start".to_owned(),
            unix_us: unix_us(),
        }];
        Ok(Self {
            runc,
            socket,
            criu,
            runc_pid,
            home,
            gate,
            orders,
            directory: None,
            watch: None,
            tell_guard: None,
            mirrored: Vec::new(),
            stages,
            task: Task::Other,
            hiding: None,
            init_pid: None,
            runc_quiet: false,
        })
    }

    /// Relays until CRIU has ended. On an error CRIU is ended, and so is what it has restored.
    pub(super) fn run(&mut self) -> Result<(), RelayError> {
        let result = self.relay();
        let cleared = match &result {
            Ok(()) => Ok(()),
            Err(RelayError::RuncGone) if matches!(self.task, Task::Dump { .. }) => self.give_up_dump(),
            Err(_) => self.clear(),
        };
        // The first error says more.
        result.and(cleared)
    }

    fn relay(&mut self) -> Result<(), RelayError> {
        loop {
            let mut polled = vec![
                PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.criu.as_fd(), PollFlags::POLLIN),
            ];
            // Indices 2 and 3; a quiet runc's place is taken by CRIU, which does no harm.
            let runc = if self.runc_quiet {
                self.criu.as_fd()
            } else {
                self.runc.as_fd()
            };
            polled.push(PollFd::new(runc, PollFlags::POLLIN));
            if let Some(events) = self.hiding.as_ref().and_then(Hiding::events) {
                polled.push(PollFd::new(events, PollFlags::POLLIN));
            }
            match poll(&mut polled, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(source) => {
                    return Err(RelayError::System {
                        action: "wait for runc and CRIU",
                        source,
                    });
                }
            }
            let ready = |index: usize| {
                polled
                    .get(index)
                    .and_then(PollFd::revents)
                    .is_some_and(|events| !events.is_empty())
            };
            let (from_criu, ended, from_runc, seen) = (ready(0), ready(1), ready(2), ready(3));
            if seen && let Some(hiding) = &mut self.hiding {
                hiding.seen(self.criu.pid());
            } else if from_criu {
                match receive(&self.socket)? {
                    Some(answer) => self.answer(&answer)?,
                    None => return self.criu_gone(),
                }
            } else if ended {
                return self.criu_gone();
            } else if from_runc {
                match receive(&self.runc)? {
                    Some(request) => self.request(request)?,
                    None => self.runc_gone()?,
                }
            }
        }
    }

    /// A message from runc.
    fn request(&mut self, mut packet: Packet) -> Result<(), RelayError> {
        let request = rpc::request(&packet.bytes)?;
        self.mirror(&request.descriptors)?;
        match request.kind {
            Kind::Dump => {
                // Without a freezer CRIU can only be ended, not stopped first.
                let freezer = request.pid.and_then(|pid| Freezer::of(pid).ok());
                self.task = Task::Dump {
                    freezer,
                    frozen: false,
                };
                self.gate(Kind::Dump)?;
                if let Task::Dump {
                    freezer: Some(freezer),
                    frozen,
                } = &mut self.task
                {
                    *frozen = freezer.is_frozen().is_ok_and(|frozen| frozen);
                }
                self.hide(request.images);
            }
            Kind::Restore => {
                self.stage("request");
                let held = Held::find(self.criu.pid(), &self.home)?;
                held.leave(self.criu.pid(), &self.home)?;
                self.stage("moved");
                self.task = Task::Restore { held, frozen: false };
                self.gate(Kind::Restore)?;
                self.unhide(request.images)?;
            }
            Kind::PreDump | Kind::Notify | Kind::Other(_) => {}
        }
        if self.orders.lazy && matches!(request.kind, Kind::Dump | Kind::Restore) {
            packet.bytes = rpc::with_lazy_pages(&packet.bytes)?;
        }
        match packet::send(&self.socket, &packet) {
            Ok(()) => Ok(()),
            Err(Errno::EPIPE | Errno::ECONNRESET) => Err(RelayError::CriuGone),
            Err(source) => Err(RelayError::System {
                action: "send to CRIU",
                source,
            }),
        }
    }

    /// A message from CRIU.
    fn answer(&mut self, packet: &Packet) -> Result<(), RelayError> {
        let response = rpc::response(&packet.bytes)?;
        match (response.kind, &response.stage) {
            (Kind::Notify, Some(stage)) => {
                self.stage(stage);
                self.init_pid = response.pid.or(self.init_pid);
                if stage == "pre-resume" && self.orders.hold {
                    self.freeze()?;
                }
                if stage == "post-dump"
                    && let (Task::Dump { .. }, Some(directory)) = (&self.task, &self.directory)
                {
                    // `cr_dump_finish` in CRIU's cr-dump.c: every image is closed by now; its statistics go elsewhere.
                    directory.mark(IMAGES)?;
                }
            }
            (Kind::Restore | Kind::Dump, _) if response.success => {
                if self.orders.hold && matches!(self.task, Task::Restore { frozen: false, .. }) {
                    return Err(RelayError::NotHeld);
                }
                self.stage("done");
                self.write_stages();
                if let Some(guard) = &self.tell_guard {
                    // Without a guard there is nobody to tell.
                    let _ = nix::unistd::write(guard, b"d");
                }
                send(&self.runc, packet)?;
                self.task = Task::Done;
                return Ok(());
            }
            // CRIU has put everything back; why it failed stands in its log.
            (Kind::Dump, _) => self.task = Task::Done,
            _ => {}
        }
        match packet::send(&self.runc, packet) {
            Ok(()) => Ok(()),
            Err(Errno::EPIPE | Errno::ECONNRESET) => Err(RelayError::RuncGone),
            Err(source) => Err(RelayError::System {
                action: "send to runc",
                source,
            }),
        }
    }

    /// Every task of the container is restored and stopped by ptrace, CRIU waits for our answer.
    fn freeze(&mut self) -> Result<(), RelayError> {
        let Task::Restore { held, frozen } = &mut self.task else {
            return Ok(());
        };
        let init_pid = self.init_pid.ok_or(RelayError::NotHeld)?;
        held.leave_late(self.criu.pid(), &self.home)?;
        let cgroups = held.freeze(self.criu.pid(), init_pid)?;
        *frozen = true;
        let freezer = held.freezer().directory().to_path_buf();
        self.stage("frozen");
        if let Some(directory) = &self.directory {
            let stages = self.stages.clone();
            directory.write_json(
                HELD,
                &record::Held {
                    init_pid,
                    cgroups,
                    freezer,
                    stages,
                },
            )?;
        }
        Ok(())
    }

    /// runc has ended, or will not send any more.
    fn runc_gone(&mut self) -> Result<(), RelayError> {
        match &self.task {
            Task::Done | Task::Other => {
                self.runc_quiet = true;
                // CRIU waits for this when it is asked for several things in a row.
                let _ = shutdown(std::os::fd::AsRawFd::as_raw_fd(&self.socket), Shutdown::Write);
                Ok(())
            }
            Task::Dump { .. } | Task::Restore { .. } => Err(RelayError::RuncGone),
        }
    }
}

fn receive(socket: &OwnedFd) -> Result<Option<Packet>, RelayError> {
    packet::receive(socket).map_err(|source| RelayError::System {
        action: "receive a message",
        source,
    })
}

fn send(socket: &OwnedFd, packet: &Packet) -> Result<(), RelayError> {
    packet::send(socket, packet).map_err(|source| RelayError::System {
        action: "send a message",
        source,
    })
}
