//! A cap on bandwidth.

use std::time::Duration;

/// Spreads what is sent so that it stays under a cap: in any second at most the cap and one piece.
///
/// Pure: time is passed in, as the time since any fixed moment. Several users of one cap (all migrations of a node)
/// share one `Pace` behind a lock; whoever has two caps asks both and waits for the longer.
#[derive(Debug, Clone)]
pub struct Pace {
    /// Bytes a second.
    cap: u64,
    /// When the next piece may go.
    free: Duration,
}

impl Pace {
    /// A cap in bytes a second; 0 is taken as 1.
    pub fn new(cap: u64) -> Self {
        Self {
            cap: cap.max(1),
            free: Duration::ZERO,
        }
    }

    /// Bytes a second.
    pub fn cap(&self) -> u64 {
        self.cap
    }

    /// Books a piece; gives the time to wait before it is sent, counted from `now`. What is booked and not sent is lost.
    ///
    /// Nothing is saved up while nothing is sent.
    pub fn book(&mut self, now: Duration, bytes: u64) -> Duration {
        let start = self.free.max(now);
        let nanos = u128::from(bytes) * 1_000_000_000;
        let took = nanos.div_ceil(u128::from(self.cap));
        let took = Duration::from_nanos(u64::try_from(took).unwrap_or(u64::MAX));
        self.free = start.saturating_add(took);
        start.saturating_sub(now)
    }

    /// Changes the cap for what is booked from now on.
    pub fn set_cap(&mut self, cap: u64) {
        self.cap = cap.max(1);
    }
}
