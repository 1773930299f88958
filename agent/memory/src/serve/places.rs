//! Whether every page that is due has a place, while nothing can have been lost yet.
//!
//! CRIU makes private mappings somewhere, moves each one to its final address, and registers it there (`vma_remap` and `enable_uffd` in
//! `criu/pie/restorer.c`). One that happens to be made at its final address is not moved, and not registered either: the process would
//! find zeros there. All processes are stopped when CRIU says that it is finished (`lazy_pages_finish_restore` in `criu/cr-restore.c`
//! comes after `catch_tasks`), so until then at most the restorer itself has touched memory.
//!
//! A mapping is registered as a whole or not at all, so one page of each is put where it belongs, which says either. What is not registered
//! is registered here and filled at once: a page that is there already was touched by the restorer, and what it holds is not what it
//! held at the dump, so that the restore must be given up.
//!
//! It takes 7 to 20 us for each mapping, beside the fill on two busy cores: 0.7 to 2 ms for 100 mappings, 7 to 20 ms for 1000.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::ServeError;
use super::files::Checked;
use super::space::{Outcome, Space, State};
use super::uffd;
use super::worker::Worker;
use crate::range::PAGE;
use crate::store::Window;

/// The most that is filled while the processes are frozen: about 0.2 s.
const MOST: u64 = 256 * 1024 * 1024;
/// How long events, of which there are none, may stand in the way.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_micros(100);

/// Looks at all mappings of all restored processes, and mends what can be mended.
pub(super) fn check(worker: &Worker) -> Result<Checked, ServeError> {
    let begun = Instant::now();
    let mut found = Checked {
        mappings: 0,
        mended: 0,
        took_us: 0,
    };
    for space in worker.spaces() {
        if space.slot.forked.load(Ordering::SeqCst) == 0 {
            check_space(worker, &space, begun + PATIENCE, &mut found)?;
        }
    }
    found.took_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    Ok(found)
}

fn check_space(
    worker: &Worker,
    space: &Space,
    until: Instant,
    found: &mut Checked,
) -> Result<(), ServeError> {
    if worker.board.mending.load(Ordering::SeqCst) != 0 {
        // Which of the pages that are there now were touched before?
        return Err(unplaced(space, 0, "the page server was killed while it mended"));
    }
    // What lies below has been filled, so it is registered.
    let mut at = space.floor();
    while let Some((start, end)) = next(space, at) {
        match look(space, start)? {
            Outcome::Again if Instant::now() < until => {
                std::thread::sleep(PAUSE);
                continue;
            }
            Outcome::Again => return Err(unplaced(space, start, "it changes all the time")),
            Outcome::Gone => return Ok(()),
            Outcome::Absent(_) => {
                worker.board.mending.store(1, Ordering::SeqCst);
                mend(space, &space.write(), start, end)?;
                worker.board.mending.store(0, Ordering::SeqCst);
                found.mended += 1;
            }
            // Other errors come from memory that is registered (`mfill_atomic` in Linux' `mm/userfaultfd.c`).
            Outcome::Done | Outcome::Failed(_) => {}
        }
        found.mappings += 1;
        at = end;
    }
    Ok(())
}

/// The first page that is due from an address on, and where its mapping ends; both as at the dump.
fn next(space: &Space, at: u64) -> Option<(u64, u64)> {
    let ranges = &space.origin.ranges;
    let range = ranges.get(ranges.partition_point(|range| range.end() <= at))?;
    let start = range.start.max(at);
    // No range ends outside of a mapping.
    let end = space
        .origin
        .mapping(start)
        .map_or(range.end(), |mapping| mapping.end);
    Some((start, end))
}

/// Puts one page where it belongs.
fn look(space: &Space, page: u64) -> Result<Outcome, ServeError> {
    let state = space.read();
    if state.closed || space.gone.load(Ordering::SeqCst) {
        return Ok(Outcome::Gone);
    }
    let place = state.table.placed(page, page + PAGE);
    let (Some(place), Some(source)) = (place.first(), &space.origin.source) else {
        return Ok(Outcome::Done);
    };
    if place.img < space.floor() {
        // Filled since, and perhaps given back.
        return Ok(Outcome::Done);
    }
    Ok(space.put_page(place.run, &source.page(place.img)?))
}

/// Registers a mapping, and fills it from its first page that is due. Nobody else fills meanwhile.
fn mend(space: &Space, state: &State, start: u64, end: u64) -> Result<(), ServeError> {
    if state.closed {
        return Ok(());
    }
    let mapping = space.origin.mapping(start);
    let begin = mapping.map_or(start, |mapping| mapping.start);
    let pieces = state.table.placed(start, end);
    if pieces.iter().map(|piece| piece.len).sum::<u64>() > MOST {
        return Err(unplaced(
            space,
            start,
            "CRIU has not registered it, and it is too large to be registered now",
        ));
    }
    uffd::register(space.uffd(), begin, end - begin)
        .map_err(|_| unplaced(space, start, "it can be registered by nobody"))?;
    let mut window = Window::default();
    for piece in &pieces {
        match space.put_new(piece, &mut window) {
            (_, Some(there)) => {
                return Err(unplaced(
                    space,
                    there,
                    "CRIU has not registered it, and it was touched already",
                ));
            }
            (Outcome::Done | Outcome::Gone, None) => {}
            (Outcome::Absent(at), None) => return Err(unplaced(space, at, "nothing is mapped there")),
            (Outcome::Again | Outcome::Failed(_), None) => {
                return Err(unplaced(space, piece.run, "it cannot be filled"));
            }
        }
    }
    Ok(())
}

fn unplaced(space: &Space, address: u64, why: &'static str) -> ServeError {
    ServeError::Unplaced {
        ns_pid: space.origin.ns_pid,
        address,
        why,
    }
}
