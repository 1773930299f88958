//! Threads that fill what nobody has touched yet.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::claims::Chunk;
use super::space::{Outcome, Space};
use super::worker::Worker;
use crate::range::PAGE;
use crate::store::Window;

/// For so long after a touch small chunks are filled.
const BUSY: u64 = 5;
/// Until memory is registered, or messages are read.
const SOON: Duration = Duration::from_micros(500);
/// After a failure that may pass.
const LATER: Duration = Duration::from_millis(20);
/// Without anything to do.
const IDLE: Duration = Duration::from_millis(5);

/// The greatest niceness there is (nice(2)).
const MOST_NICE: i32 = 19;

/// Runs until the worker ends.
pub(super) fn run(worker: &Worker) {
    // The restored processes are still frozen, and what lets them go, and their connections, needs the processors: on two of them the fill
    // took 50 to 100 ms of the freeze and of the first answers after it.
    be_nice(MOST_NICE);
    let gentle = Duration::from_millis(worker.config.tuning.gentle_ms);
    let mut gentle_until = None;
    let mut window = Window::default();
    while !worker.ended.load(Ordering::Relaxed) {
        let mut idle = true;
        for space in worker.spaces() {
            let now = Instant::now();
            match gentle_until {
                None => gentle_until = Some(Some(now + gentle)),
                Some(Some(until)) if now >= until => {
                    be_nice(worker.config.tuning.fill_nice);
                    gentle_until = Some(None);
                }
                Some(_) => {}
            }
            let bytes = chunk_size(worker);
            let chunk = space.claims().claim(&space.origin.ranges, bytes, now);
            if let Some(chunk) = chunk {
                idle = false;
                fill(worker, &space, chunk, &mut window);
                worker.release(&space.origin);
            }
        }
        if idle {
            worker.wait(IDLE);
        }
    }
}

/// Sets the niceness of the calling thread; Linux counts it by thread. A failure leaves it as it is.
pub(super) fn be_nice(nice: i32) {
    let thread = u32::try_from(nix::unistd::gettid().as_raw()).unwrap_or(0);
    // SAFETY: a plain system call.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, thread, nice) };
}

fn chunk_size(worker: &Worker) -> u64 {
    let now = u64::try_from(worker.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let tuning = &worker.config.tuning;
    let touched = worker.touched.load(Ordering::Relaxed);
    let bytes = if touched != 0 && now.saturating_sub(touched) <= BUSY {
        tuning.chunk_busy
    } else {
        tuning.chunk
    };
    (bytes - bytes % PAGE).max(PAGE)
}

/// Fills what is still due of a chunk.
fn fill(worker: &Worker, space: &Space, chunk: Chunk, window: &mut Window) {
    let (start, end) = chunk;
    let state = space.read();
    if state.closed || space.gone.load(Ordering::SeqCst) {
        space.claims().done(chunk);
        return;
    }
    for piece in state.table.placed(start, end) {
        let mut piece = piece;
        while piece.len > 0 {
            let due = match space.put(&piece, window) {
                Outcome::Done => {
                    worker.board.filled.fetch_add(piece.len, Ordering::Relaxed);
                    break;
                }
                Outcome::Gone => {
                    space.claims().done(chunk);
                    return;
                }
                Outcome::Absent(at) if worker.is_settled(space) => {
                    worker.board.unplaced.fetch_add(1, Ordering::Relaxed);
                    let done = at + PAGE - piece.run;
                    piece.run += done;
                    piece.img += done;
                    piece.len -= done;
                    continue;
                }
                Outcome::Again | Outcome::Absent(_) => SOON,
                Outcome::Failed(errno) => {
                    worker.hinder(errno.desc());
                    LATER
                }
            };
            space.claims().later(chunk, piece.img, Instant::now() + due);
            return;
        }
    }
    space.claims().done(chunk);
    space.note_floor();
}
