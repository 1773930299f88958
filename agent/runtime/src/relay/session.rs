//! One conversation between runc and CRIU.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};
use nix::sys::stat::Mode;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{Pid, pipe};

use super::RelayError;
use super::gate;
use super::hold::Held;
use crate::cgroup::{Freezer, Membership};
use crate::packet::{self, Packet};
use crate::process::{self, Process};
use crate::record::{self, HELD, IMAGES, RecordDir, STAGES, Stage, Waiting, unix_ms, unix_us};
use crate::rpc::{self, Kind};
use crate::veil::{self, Hiding, VeilError};
use crate::watch::Watch;

/// How long CRIU may take to give up a dump in good order.
const GIVE_UP_MS: u64 = 10_000;

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

    /// Hides lazy memory from CRIU, if the container is frozen. Without it the dump is only slower.
    fn hide(&mut self, images: Option<i32>) {
        let (
            true,
            Some(images),
            Task::Dump {
                freezer: Some(freezer),
                frozen: true,
            },
        ) = (self.orders.veiled, images, &self.task)
        else {
            return;
        };
        let images = PathBuf::from(format!("/proc/self/fd/{images}"));
        if let Ok(pids) = freezer.pids() {
            self.hiding = Hiding::of(&pids, &self.gate, &images).ok();
            self.stage("veil");
        }
    }

    /// Before a restore: the images must say what was hidden from CRIU.
    fn unhide(&self, images: Option<i32>) -> Result<(), RelayError> {
        let Some(images) = images else { return Ok(()) };
        let images = PathBuf::from(format!("/proc/self/fd/{images}"));
        if self.orders.lazy {
            veil::merge(&images)?;
        } else if !veil::hidden(&images)?.is_empty() {
            let path = std::fs::read_link(&images).unwrap_or(images);
            return Err(VeilError::OnlyLazily { path }.into());
        }
        Ok(())
    }

    /// Waits at the gate; if it stays closed runc gets a refusal.
    fn gate(&mut self, kind: Kind) -> Result<(), RelayError> {
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
            bytes: rpc::refusal(kind, &record::chain(&error)),
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

    /// CRIU has ended, or closed its socket.
    fn criu_gone(&mut self) -> Result<(), RelayError> {
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

    /// Ends CRIU, and what it has restored, which must not run: frozen first, because CRIU's end sets its tasks free.
    fn clear(&mut self) -> Result<(), RelayError> {
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
    fn give_up_dump(&mut self) -> Result<(), RelayError> {
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

    /// CRIU opens these numbers in *our* `/proc/PID/fd`, because we made its socket; so they must be here what they are in runc.
    fn mirror(&mut self, numbers: &[i32]) -> Result<(), RelayError> {
        let failed = |source| RelayError::System {
            action: "copy a descriptor of runc",
            source,
        };
        if numbers.is_empty() {
            return Ok(());
        }
        self.mirrored.clear();
        let mut seen = Vec::new();
        for number in numbers {
            if seen.contains(number) {
                continue;
            }
            seen.push(*number);
            let path = format!("/proc/{}/fd/{number}", self.runc_pid);
            let fd = open(path.as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(failed)?;
            // Out of the way first: the number itself may be that of the next one.
            let fd = process::raise(fd, 900).map_err(failed)?;
            self.mirrored.push(process::place(&fd, *number).map_err(failed)?);
        }
        Ok(())
    }

    fn stage(&mut self, name: &str) {
        // CRIU has about ten stages; a peer that sends others without end gets no room for them.
        if self.stages.len() < 64 {
            self.stages.push(Stage {
                name: name.to_owned(),
                unix_us: unix_us(),
            });
        }
    }

    /// The stages are for figures only: nothing depends on them.
    fn write_stages(&self) {
        if let Some(directory) = &self.directory {
            let _ = directory.write_json(STAGES, &self.stages);
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
