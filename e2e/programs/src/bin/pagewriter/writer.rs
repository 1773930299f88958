//! One thread that writes pages.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::chooser::Chooser;
use crate::pace::Pace;
use crate::worker::Worker;

/// A writer with a pace rests for so long between two looks at the clock; freezes shorter than that are not seen.
const REST: Duration = Duration::from_millis(1);
/// One write of so many begins with a look at what is there.
const LOOK: u64 = 4;
/// Writes between two looks at the clock.
const AT_ONCE: u64 = 16;

/// Writes until the program ends: pages among `own`, and its beat, page `number` of the beats.
pub(crate) fn write(worker: &Worker, number: usize, own: Range<usize>) {
    let slot = &worker.slot().writers[number];
    let seed = (worker.number * 100 + number) as u64;
    let mut chooser = Chooser::new(worker.settings.pattern, own, seed);
    let mut pace = Pace::new(
        worker.settings.rate,
        worker.settings.threads * worker.settings.processes,
    );
    let mut last = Instant::now();
    let mut writes = 0_u64;
    while !worker.board.ends() {
        if worker.rests() {
            // What is verified stands still meanwhile; that is no freeze.
            last = Instant::now();
            continue;
        }
        if !pace.is_free() {
            std::thread::sleep(REST);
        }
        let now = Instant::now();
        note_gap(&slot.gap_us, now.saturating_duration_since(last));
        let due = pace.due(now.saturating_duration_since(last));
        last = now;
        worker.beats.write(number);
        slot.beats.fetch_add(1, Ordering::Relaxed);
        for count in 0..due {
            let at = chooser.next();
            writes += 1;
            if writes.is_multiple_of(LOOK)
                && let Err(what) = worker.region.check(at)
            {
                worker.board.damaged(&format!("before a write: {what}"));
            }
            worker.region.write(at);
            slot.written.fetch_add(1, Ordering::Relaxed);
            if count % AT_ONCE == AT_ONCE - 1 {
                let now = Instant::now();
                note_gap(&slot.gap_us, now.saturating_duration_since(last));
                last = now;
            }
        }
    }
}

fn note_gap(largest: &std::sync::atomic::AtomicU64, gap: Duration) {
    largest.fetch_max(
        u64::try_from(gap.as_micros()).unwrap_or(u64::MAX),
        Ordering::Relaxed,
    );
}
