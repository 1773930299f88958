//! How long the freeze would be now.

use std::time::Duration;

use crate::range::PAGE;

/// Bytes on the link over which its speed is measured, from the newest round backwards: single small rounds are mostly
/// waiting for answers.
const MEASURED_OVER: u64 = 64 << 20;

/// A round that has been sent and acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Passed {
    /// Pages that its scan found: all for the first, those written since the scan before for the others.
    pub pages: u64,
    /// Bytes that it took on the link.
    pub bytes: u64,
    /// Rest between the end of the round before and this round's scan.
    pub pause: Duration,
    /// From its scan until the receiver had acknowledged its last byte.
    pub took: Duration,
}

/// What a freeze costs beyond the pages that are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Costs {
    /// Whatever does not depend on memory: pause, dump, restore, commit. Measured, or the default of this release.
    pub fixed: Duration,
    /// For each GiB of the container's memory: CRIU walks through all of it at the dump.
    pub per_gib: Duration,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes a second of the link, until something has been sent.
    pub assumed_bandwidth: u64,
}

/// What would come if the container were frozen now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Bytes of memory to be sent in the freeze.
    pub remaining: u64,
    /// Bytes of memory written in a second.
    pub dirty_rate: f64,
    /// Bytes of memory that travel in a second: more than the link carries, if pages are compressed or left out.
    pub bandwidth: f64,
    /// The freeze in all.
    pub freeze: Duration,
}

impl Estimate {
    /// The estimate after these rounds. `waiting` is how many pages are dirty now, if a look without a reset has told;
    /// else it follows from how the last rounds shrank with their durations.
    #[allow(clippy::cast_precision_loss)] // 2^52 bytes are more than any machine has.
    pub fn of(history: &[Passed], waiting: Option<u64>, costs: &Costs) -> Self {
        let bandwidth = bandwidth(history, costs.assumed_bandwidth);
        let dirty_rate = dirty_rate(history);
        let most = costs.memory as f64;
        let remaining = match (history.last(), waiting) {
            (_, Some(pages)) => bytes(pages),
            (None, None) => most,
            // Before the second round nothing tells how fast pages are written.
            (Some(first), None) if history.len() == 1 => bytes(first.pages).min(most),
            (Some(last), None) => extrapolated(history, last).min(most.max(bytes(last.pages))),
        };
        let gib = costs.memory as f64 / f64::from(1 << 30);
        let seconds = costs.fixed.as_secs_f64() + remaining / bandwidth + gib * costs.per_gib.as_secs_f64();
        Self {
            remaining: whole(remaining),
            dirty_rate,
            bandwidth,
            freeze: Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX),
        }
    }
}

/// Bytes written each second, by the newest round that can tell; 0 before the second round.
fn dirty_rate(history: &[Passed]) -> f64 {
    let [.., before, last] = history else {
        return 0.0;
    };
    let over = (before.took + last.pause).as_secs_f64();
    bytes(last.pages) / over.max(1e-6)
}

/// Bytes that were written during the last round, in which nobody looked.
///
/// Writes all over the memory grow with time, those to a hot set do not: what was found after one second says little of
/// a tenth of it. So the two newest looks tell the power of time with which dirty memory grows; before there are two of
/// different durations, the square root is taken, between the two extremes.
fn extrapolated(history: &[Passed], last: &Passed) -> f64 {
    const UNKNOWN: f64 = 0.5;
    let interval = |at: usize| {
        let (before, this) = (history.get(at.checked_sub(1)?)?, history.get(at)?);
        Some((before.took + this.pause).as_secs_f64().max(1e-6))
    };
    let at = history.len() - 1;
    let Some(over) = interval(at) else {
        return bytes(last.pages);
    };
    let longer = last.took.as_secs_f64() / over;
    if longer >= 1.0 {
        return bytes(last.pages) * longer;
    }
    let before = at
        .checked_sub(1)
        .and_then(|at| Some((interval(at)?, history.get(at)?.pages)));
    let power = match before {
        Some((time, pages)) if (over / time).ln().abs() > 0.4 => {
            let grew = (bytes(last.pages.max(1)) / bytes(pages.max(1))).ln();
            (grew / (over / time).ln()).clamp(0.0, 1.0)
        }
        _ => UNKNOWN,
    };
    bytes(last.pages) * longer.powf(power)
}

/// Bytes of memory a second: of the link, times what a byte on it carries in the rounds that are like the freeze's.
#[allow(clippy::cast_precision_loss)] // As above.
fn bandwidth(history: &[Passed], assumed: u64) -> f64 {
    let (mut on_link, mut seconds) = (0, 0.0);
    for round in history.iter().rev() {
        on_link += round.bytes;
        seconds += round.took.as_secs_f64();
        if on_link >= MEASURED_OVER {
            break;
        }
    }
    let link = if on_link == 0 || seconds <= 0.0 {
        assumed.max(1) as f64
    } else {
        on_link as f64 / seconds
    };
    // The first round holds what the others do not: zeros and repetitions. It counts only as long as it is alone.
    let later = if history.len() > 1 { &history[1..] } else { history };
    let memory: f64 = later.iter().map(|round| bytes(round.pages)).sum();
    let sent: f64 = later.iter().map(|round| round.bytes as f64).sum();
    // What is all zeros in one moment need not be so in the next: no more than a factor of 20 is believed.
    let carried = if sent > 0.0 {
        (memory / sent).clamp(0.9, 20.0)
    } else {
        1.0
    };
    (link * carried).max(1.0)
}

#[allow(clippy::cast_precision_loss)] // As above.
fn bytes(pages: u64) -> f64 {
    pages as f64 * PAGE as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Saturates; never negative.
fn whole(bytes: f64) -> u64 {
    bytes as u64
}
