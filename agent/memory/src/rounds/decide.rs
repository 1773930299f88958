//! What comes after a round.

use std::time::Duration;

use thiserror::Error;

use super::estimate::{Costs, Estimate, Passed};

/// Rounds after which it is enough, whatever they brought.
pub const MAX_ROUNDS: usize = 30;
/// Without a budget, this much sending in the freeze is not worth another round: it is lost among the fixed costs.
const SMALL: Duration = Duration::from_millis(8);
/// A round that leaves more than this part of what there was has not helped.
const FALLING: f64 = 0.9;
/// Rest between rounds that only keep up, while something else is waited for: longer, and more would have to be sent at
/// the end; shorter, and the application would feel it (scans each second cost it 6 to 11 %, five each second twice
/// as much).
const IDLE: Duration = Duration::from_secs(1);
/// What lies between two rounds is a rest if it is longer: without one it is measured too, and a few microseconds.
const REST: Duration = Duration::from_millis(100);
/// Percent of its CPU that a container is throttled to, step by step.
const STEPS: [u8; 5] = [80, 60, 40, 20, 10];

/// How much is asked of pre-copy (`spec.memory`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// As it is best: memory so small that a round would gain nothing is not copied ahead.
    Auto,
    /// At least one round, always.
    PreCopy,
}

/// All that the decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The rounds so far.
    pub history: &'a [Passed],
    /// Pages dirty now, if known.
    pub waiting: Option<u64>,
    /// What a freeze costs.
    pub costs: Costs,
    /// The longest freeze that the user accepts.
    pub budget: Option<Duration>,
    /// What is asked of pre-copy.
    pub mode: Mode,
    /// May the container be throttled?
    pub auto_converge: bool,
    /// Percent of its CPU to which it is throttled now.
    pub throttle: Option<u8>,
    /// How many rounds had passed when it was throttled last.
    pub throttled_at: usize,
    /// Time until the migration must have ended; `None`: any.
    pub time_left: Option<Duration>,
    /// False while something else is still being prepared (the target's containers are not parked).
    pub may_freeze: bool,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Another round, after a rest.
    Round {
        /// The rest.
        pause: Duration,
    },
    /// The freeze.
    Freeze,
    /// Nothing: the migration cannot keep its promise.
    Refuse(DirtyRateTooHigh),
    /// Throttle the container to that percentage of the CPU it uses now, then another round.
    Throttle {
        /// Percent, 1 to 99.
        percent: u8,
    },
}

/// The container writes faster than its memory can be copied, and the freeze would be longer than allowed.
#[derive(Debug, Clone, PartialEq, Error)]
#[error(
    "the container writes at least {} of memory, {} of which can be copied: after {rounds} rounds its freeze would take {} ms, \
     over the budget of {} ms; raise spec.freezeBudget, give the migration more bandwidth, or move it when the \
     container writes less", rate(.estimate.dirty_rate), rate(.estimate.bandwidth), .estimate.freeze.as_millis(),
    .budget.as_millis()
)]
pub struct DirtyRateTooHigh {
    /// How things stand.
    pub estimate: Estimate,
    /// What is allowed.
    pub budget: Duration,
    /// Rounds made.
    pub rounds: usize,
}

impl DirtyRateTooHigh {
    /// Stable name.
    pub fn reason(&self) -> &'static str {
        "DirtyRateTooHigh"
    }
}

fn rate(bytes: f64) -> String {
    format!("{:.1} MB/s", bytes / 1e6)
}

/// What to do after the rounds of `now`, and the estimate that it rests on.
///
/// * The estimate fits the budget: freeze. Without a budget: freeze when what is left is small.
/// * Else another round, as long as rounds help: fewer than two in a row that left 90 % or more of what there was, no more
///   than 30, and time for one more.
/// * Else throttle, if that is allowed and there is a budget; at the last step, or if it is not: refuse with a budget,
///   freeze without.
///
/// Ends after finitely many rounds once `may_freeze` is true. What ends rounds without success does not depend on the
/// budget, so a larger budget never means more rounds.
pub fn decide(now: &Situation<'_>) -> (Next, Estimate) {
    let estimate = Estimate::of(now.history, now.waiting, &now.costs);
    (next(now, &estimate), estimate)
}

fn next(now: &Situation<'_>, estimate: &Estimate) -> Next {
    let fits = now.budget.is_none_or(|budget| estimate.freeze <= budget);
    let small = sending(estimate) <= SMALL.as_secs_f64();
    if !now.may_freeze {
        // Rounds that reach the goal need no haste; those that do not may as well go on.
        let pause = if now.history.is_empty() || !(small || ends(now, estimate)) {
            Duration::ZERO
        } else {
            IDLE
        };
        return Next::Round { pause };
    }
    let enough = match now.history.len() {
        0 => now.mode == Mode::Auto && small && fits,
        _ => fits && (now.budget.is_some() || small),
    };
    if enough {
        return Next::Freeze;
    }
    if now.history.is_empty() || !ends(now, estimate) {
        return Next::Round {
            pause: Duration::ZERO,
        };
    }
    let Some(budget) = now.budget else {
        return Next::Freeze;
    };
    if now.auto_converge && now.history.len() < MAX_ROUNDS && fits_time(now, estimate) {
        let current = now.throttle.unwrap_or(100);
        if let Some(percent) = STEPS.into_iter().find(|step| *step < current) {
            return Next::Throttle { percent };
        }
    }
    Next::Refuse(DirtyRateTooHigh {
        estimate: *estimate,
        budget,
        rounds: now.history.len(),
    })
}

/// Is another round of no use?
fn ends(now: &Situation<'_>, estimate: &Estimate) -> bool {
    now.history.len() >= MAX_ROUNDS || !fits_time(now, estimate) || !falling(now)
}

/// Did one of the last two rounds help, as far as they tell something: was there less to send than in the best round before
/// them? The best, for how much a container writes changes from round to round, and to be better than the round before is
/// not to get anywhere.
#[allow(clippy::cast_precision_loss)] // Pages of one machine.
fn falling(now: &Situation<'_>) -> bool {
    let since = now.history.get(now.throttled_at..).unwrap_or_default();
    let [earlier @ .., second, third] = since else {
        return true;
    };
    let Some(best) = earlier.iter().map(|round| round.pages).min() else {
        return true;
    };
    // After a rest there is more to send, which says nothing of the next round.
    if second.pause.max(third.pause) > REST {
        return true;
    }
    (second.pages.min(third.pages) as f64) < FALLING * best as f64
}

/// Is there time for one more round and the freeze after it?
fn fits_time(now: &Situation<'_>, estimate: &Estimate) -> bool {
    let Some(left) = now.time_left else {
        return true;
    };
    let round = Duration::try_from_secs_f64(sending(estimate)).unwrap_or(Duration::MAX);
    round.saturating_add(estimate.freeze) <= left
}

/// Seconds that what is left takes to send.
#[allow(clippy::cast_precision_loss)] // As above.
fn sending(estimate: &Estimate) -> f64 {
    estimate.remaining as f64 / estimate.bandwidth
}
