//! Pages written, window by window.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::board::Board;

/// The length of a window; the end of each is noted, so that one that a freeze made longer can be told.
const WINDOW: Duration = Duration::from_millis(100);
/// How many are kept.
const KEPT: usize = 1200;

/// The end of each window, in microseconds since 1970, and what had been written by then.
#[derive(Clone, Default)]
pub(crate) struct Throughput(Arc<Mutex<VecDeque<(u64, u64)>>>);

impl Throughput {
    /// Watches from now on, on a thread of its own.
    pub(crate) fn watch(board: &'static Board) -> Self {
        let seen = Self::default();
        let its = seen.clone();
        std::thread::spawn(move || {
            while !board.ends() {
                its.add(now_us(), written(board));
                std::thread::sleep(WINDOW);
            }
        });
        seen
    }

    fn add(&self, at: u64, written: u64) {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.push_back((at, written));
        if windows.len() > KEPT {
            windows.pop_front();
        }
    }

    /// `[[END_US,WRITTEN],…]`.
    pub(crate) fn json(&self) -> String {
        let windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::from("[");
        for (at, written) in windows.iter() {
            let comma = if text.len() > 1 { "," } else { "" };
            // Writing to a string does not fail.
            let _ = write!(text, "{comma}[{at},{written}]");
        }
        text.push(']');
        text
    }
}

/// Pages that all writers have written.
pub(crate) fn written(board: &Board) -> u64 {
    let writers = board.processes.iter().flat_map(|process| &process.writers);
    writers.map(|writer| writer.written.load(Ordering::Relaxed)).sum()
}

fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
