//! How far the copy is, for `status.source.memory`.

use std::time::Duration;

use godwit_crds::{CopyMode, MemoryRound, SourceMemory, format_duration};
use godwit_memory::{
    range::PAGE,
    rounds::{Estimate, Passed},
    track::Method,
};
use tokio::time::Instant;

use super::pump::Sent;
use crate::node::tracking_method;

/// The API server hears of progress no more often than this.
pub(super) const EVERY: Duration = Duration::from_secs(1);

/// What is said of the memory, and when it was said last.
#[derive(Debug)]
pub(super) struct Progress {
    said: SourceMemory,
    due: Instant,
}

impl Progress {
    /// Before the first round.
    pub(super) fn new(method: Method) -> Self {
        let said = SourceMemory {
            method: Some(tracking_method(method)),
            mode: Some(CopyMode::PreCopy),
            ..SourceMemory::default()
        };
        Self {
            said,
            due: Instant::now(),
        }
    }

    /// What is to be said now; `None` if that would be too soon.
    pub(super) fn if_due(&mut self) -> Option<SourceMemory> {
        let now = Instant::now();
        (now >= self.due).then(|| {
            self.due = now + EVERY;
            self.said.clone()
        })
    }

    /// What is to be said whatever the time.
    pub(super) fn now(&self) -> SourceMemory {
        self.said.clone()
    }

    /// A round of so many pages begins.
    pub(super) fn begin(&mut self, round: u32, pages: u64) {
        self.said.round = round;
        self.said.bytes_total = pages * PAGE;
        self.said.bytes_done = 0;
        self.said.bytes_left = pages * PAGE;
    }

    /// So much of it has been sent.
    pub(super) fn sent(&mut self, sent: &Sent) {
        self.said.bytes_done = (sent.pages() * PAGE).min(self.said.bytes_total);
        self.said.bytes_left = self.said.bytes_total - self.said.bytes_done;
    }

    /// A round is over.
    pub(super) fn passed(&mut self, passed: &Passed, estimate: &Estimate) {
        self.said.bytes_done = self.said.bytes_total;
        self.said.bytes_left = 0;
        self.said.push_round(MemoryRound {
            bytes: passed.pages * PAGE,
            dirty: estimate.remaining,
            duration: format_duration(passed.took),
        });
        self.said.dirty_bytes_per_second = whole(estimate.dirty_rate);
        self.said.bandwidth_bytes_per_second = whole(estimate.bandwidth);
        self.said.expected_freeze = Some(format_duration(estimate.freeze));
    }

    /// The containers are slowed down to this part of their processor time; `None`: no longer.
    pub(super) fn throttled(&mut self, percent: Option<u8>) {
        self.said.throttle_percent = percent.map(|percent| 100_u8.saturating_sub(percent));
    }
}

/// What is said of memory that is not copied ahead.
pub(super) fn stop_and_copy(method: Option<Method>, reason: Option<String>) -> SourceMemory {
    SourceMemory {
        method: method.map(tracking_method),
        mode: Some(CopyMode::StopAndCopy),
        reason,
        ..SourceMemory::default()
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; never negative"
)]
fn whole(number: f64) -> u64 {
    number as u64
}
