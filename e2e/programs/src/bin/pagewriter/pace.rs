//! How many pages are due: as many as the rate allows, without ever making up for a long stop.

use std::time::Duration;

use crate::page::SIZE;
use crate::settings::Rate;

/// How many pages a writer without a pace writes at once.
const AT_ONCE: u64 = 64;
/// The longest time that is made up for: what stood still for longer goes on as if it had not.
const LONGEST: Duration = Duration::from_millis(50);

pub(crate) struct Pace {
    rate: Rate,
    /// Bytes × nanoseconds that are not yet a whole page.
    rest: u128,
}

impl Pace {
    /// The pace of one of `count` writers which together have that rate.
    pub(crate) fn new(rate: Rate, count: usize) -> Self {
        let rate = match rate {
            Rate::Paced(bytes) => Rate::Paced(bytes / count as u64),
            Rate::Max => Rate::Max,
        };
        Self { rate, rest: 0 }
    }

    /// Whether nothing has to be waited for.
    pub(crate) fn is_free(&self) -> bool {
        self.rate == Rate::Max
    }

    /// Pages to be written now, `passed` after the last ones.
    pub(crate) fn due(&mut self, passed: Duration) -> u64 {
        const PAGE: u128 = SIZE as u128 * 1_000_000_000;
        match self.rate {
            Rate::Max => AT_ONCE,
            Rate::Paced(bytes) => {
                self.rest += u128::from(bytes) * passed.min(LONGEST).as_nanos();
                let pages = self.rest / PAGE;
                self.rest %= PAGE;
                u64::try_from(pages).unwrap_or(u64::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_of_a_page_are_kept() {
        let mut pace = Pace::new(Rate::Paced(10 * SIZE as u64), 2);
        let total: u64 = (0..1000).map(|_| pace.due(Duration::from_millis(1))).sum();
        assert_eq!(total, 5);
    }

    #[test]
    fn a_stop_is_not_made_up_for() {
        let mut pace = Pace::new(Rate::Paced(1000 * SIZE as u64), 1);
        assert_eq!(pace.due(Duration::from_mins(1)), 50);
        assert_eq!(pace.due(Duration::from_millis(1)), 1);
    }
}
