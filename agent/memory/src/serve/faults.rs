//! Threads that read messages and answer touches of missing pages.

use std::sync::RwLockWriteGuard;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sys::epoll::{EpollEvent, EpollFlags, EpollTimeout};

use super::message::Message;
use super::space::{Outcome, Space};
use super::uffd;
use super::worker::Worker;
use crate::range::PAGE;
use crate::store::Window;

/// One thread at a time looks after an address space.
pub(super) const WANTED: EpollFlags = EpollFlags::EPOLLIN.union(EpollFlags::EPOLLONESHOT);

/// How often a touch is answered again while other messages are on their way, before it is made to come again itself.
const TRIES: u32 = 64;
/// Between two tries.
const PAUSE: Duration = Duration::from_micros(20);
/// After a failure that may pass (no memory in the container's control group).
const BREATH: Duration = Duration::from_millis(2);
/// No more touched pages wait for what is behind them; older ones are left to the background.
const MOST_AHEAD: usize = 16;

/// An application that waits should not wait for other programs, too (nice(2)).
const NICE: i32 = -10;

/// Runs until the worker ends.
pub(super) fn run(worker: &Worker) {
    super::fill::be_nice(NICE);
    let mut window = Window::default();
    let mut events = [EpollEvent::empty()];
    let timeout = EpollTimeout::from(20_u8);
    while !worker.ended.load(Ordering::Relaxed) {
        if !matches!(worker.epoll.wait(&mut events, timeout), Ok(1)) {
            continue;
        }
        if let Some(space) = worker.space(events[0].data()) {
            attend(worker, &space, &mut window);
            worker.rearm(&space);
        }
    }
}

/// Deals with all messages of an address space: touches first, then what lies behind the pages that were touched.
fn attend(worker: &Worker, space: &Space, window: &mut Window) {
    let mut ahead: Vec<u64> = Vec::new();
    let mut again: Option<(u64, u32)> = None;
    while !worker.ended.load(Ordering::Relaxed) {
        let mut state = space.write();
        if state.closed || space.gone.load(Ordering::SeqCst) {
            return;
        }
        // A fork needs a slot, and what a message is can be seen only once it is read.
        if !worker.board.has_room() {
            drop(state);
            std::thread::sleep(BREATH);
            return;
        }
        let Ok(message) = space.slot.read(state.next) else {
            return;
        };
        let page = match message {
            Some(Message::Fault { address }) => Some((address - address % PAGE, 0)),
            Some(Message::None) => continue,
            Some(event) => {
                if worker.follow(space, &mut state, event).is_err() {
                    // The event is in the log and must be applied before anything else is read: let the next worker try.
                    std::process::abort();
                }
                continue;
            }
            None => again.take(),
        };
        let state = RwLockWriteGuard::downgrade(state);
        let Some((page, tries)) = page else {
            let Some(page) = ahead.pop() else { return };
            space.fill_ahead(&state, page, worker.config.tuning.ahead, window);
            continue;
        };
        let (outcome, due) = space.answer(&state, page, worker.config.tuning.zero_ahead, window);
        match outcome {
            Outcome::Done | Outcome::Absent(_) => note(worker, &mut ahead, page, due),
            Outcome::Gone => return,
            Outcome::Again if tries < TRIES && again.is_none() => {
                again = Some((page, tries + 1));
                drop(state);
                if tries > 0 {
                    std::thread::sleep(PAUSE);
                }
            }
            // Whoever waits comes again.
            Outcome::Again => drop(uffd::wake(space.uffd(), page, PAGE)),
            Outcome::Failed(errno) => {
                worker.hinder(errno.desc());
                drop(state);
                std::thread::sleep(BREATH);
                let state = space.read();
                if !state.closed {
                    let _ = uffd::wake(space.uffd(), page, PAGE);
                }
            }
        }
    }
}

fn note(worker: &Worker, ahead: &mut Vec<u64>, page: u64, due: bool) {
    if !due {
        worker.board.zero_faults.fetch_add(1, Ordering::Relaxed);
        return;
    }
    if ahead.len() == MOST_AHEAD {
        ahead.remove(0);
    }
    ahead.push(page);
    worker.board.faults.fetch_add(1, Ordering::Relaxed);
    let elapsed = worker.begun.elapsed().as_millis();
    let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
    worker.touched.store(elapsed, Ordering::Relaxed);
}
