//! The thread that looks after everything: closes what is complete, tells how far the server is, and ends it.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::{Worker, exit, lock, unix_ms};
use crate::range::PAGE;
use crate::serve::board::{stage, state};
use crate::serve::files::{self, CHECKED, Checked, DONE, Done, PROGRESS, Progress};
use crate::serve::space::Space;
use crate::serve::{ServeError, intake, snapshot, uffd};

/// How often it is looked for address spaces that are complete.
const LOOK: Duration = Duration::from_millis(10);
/// How often progress is written and it is asked whether processes live.
const REPORT: Duration = Duration::from_millis(200);
/// How long without any progress counts as a stall.
const STALL: Duration = Duration::from_secs(30);

impl Worker {
    /// Says that every page has a place.
    pub(in super::super) fn say_checked(&self, checked: &Checked) -> Result<(), ServeError> {
        files::write(&self.dir, CHECKED, checked)
    }

    /// Closes complete address spaces, writes progress, and ends when all is done.
    pub(super) fn look_after(&self) -> u8 {
        let mut reported: Option<Instant> = None;
        let mut moved = (0, Instant::now());
        loop {
            let now_stage = self.board.stage.load(Ordering::SeqCst);
            if now_stage == stage::OPEN {
                if unix_ms() >= self.config.deadline_ms {
                    self.fail(&ServeError::TooLate);
                    intake::hang_up(self.board);
                }
            } else {
                lock(&self.closed).get_or_insert_with(Instant::now);
            }
            let report = reported.is_none_or(|at| at.elapsed() >= REPORT);
            for space in self.spaces() {
                if report {
                    check_alive(&space);
                }
                if space.gone.load(Ordering::SeqCst) || now_stage != stage::OPEN && space.is_filled() {
                    self.finish(&space);
                }
            }
            if report {
                self.check_held();
                let progress = self.progress(&mut moved);
                let _ = files::write(&self.dir, PROGRESS, &progress);
                reported = Some(Instant::now());
            }
            if now_stage != stage::OPEN && self.board.used().next().is_none() {
                let progress = self.progress(&mut moved);
                let _ = files::write(&self.dir, PROGRESS, &progress);
                if now_stage == stage::BROKEN {
                    self.fail(&ServeError::ConnectionLost);
                    return exit::FAILED;
                }
                let elapsed = self.begun.elapsed().as_millis();
                let done = Done {
                    progress,
                    elapsed_ms: u64::try_from(elapsed).unwrap_or(u64::MAX),
                };
                let _ = files::write(&self.dir, DONE, &done);
                return exit::DONE;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Processes that cannot be served: their descriptor stays open until they are gone.
    fn check_held(&self) {
        for slot in self.board.used() {
            if slot.state.load(Ordering::SeqCst) == state::HELD
                && uffd::is_gone(slot.uffd.load(Ordering::SeqCst))
            {
                slot.state.store(state::CLOSING, Ordering::SeqCst);
                snapshot::close(slot.uffd.load(Ordering::SeqCst));
                slot.state.store(state::FREE, Ordering::SeqCst);
            }
        }
    }

    /// Closes the descriptor: what is absent now is absent for good, and the kernel serves the process alone again.
    fn finish(&self, space: &Arc<Space>) {
        {
            let mut state = space.write();
            if state.closed {
                return;
            }
            state.closed = true;
            let fd = space.uffd();
            space.slot.state.store(state::CLOSING, Ordering::SeqCst);
            // SAFETY: it is open until the next line but one.
            let _ = self.epoll.delete(unsafe { BorrowedFd::borrow_raw(fd) });
            snapshot::close(fd);
            if let (Some(snapshot), _) = space.slot.commit() {
                snapshot::close(snapshot);
            }
            space.slot.state.store(state::FREE, Ordering::SeqCst);
        }
        self.spaces
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&space.id);
        self.release(&space.origin);
    }

    fn progress(&self, moved: &mut (u64, Instant)) -> Progress {
        let spaces = self.spaces();
        let left: u64 = spaces.iter().map(|space| space.bytes_left()).sum();
        let load = |value: &AtomicU64| value.load(Ordering::SeqCst);
        let activity = load(&self.board.filled) + load(&self.board.faults) + load(&self.board.total);
        if activity != moved.0 || left == 0 {
            *moved = (activity, Instant::now());
            *lock(&self.obstacle) = None;
        }
        let stalled = moved.1.elapsed();
        Progress {
            holder: self.holder,
            worker: nix::unistd::getpid().as_raw(),
            workers: self.board.workers.load(Ordering::SeqCst),
            restored: self.board.stage.load(Ordering::SeqCst) == stage::FINISHED,
            spaces: u64::try_from(self.board.used().count()).unwrap_or(u64::MAX),
            bytes_total: load(&self.board.total),
            bytes_left: left,
            faults: load(&self.board.faults),
            zero_faults: load(&self.board.zero_faults),
            unplaced: load(&self.board.unplaced),
            stalled_ms: if stalled < STALL {
                0
            } else {
                u64::try_from(stalled.as_millis()).unwrap_or(u64::MAX)
            },
            obstacle: lock(&self.obstacle).clone(),
            unix_ms: unix_ms(),
        }
    }
}

fn check_alive(space: &Space) {
    let state = space.read();
    // The question is a zero page; no page is due there.
    if !state.closed && state.table.at(16 * PAGE).is_none() && uffd::is_gone(space.uffd()) {
        space.gone.store(true, Ordering::SeqCst);
    }
}
