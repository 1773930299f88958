//! Whether the clocks of the two nodes are alike: what a program has noted by its node's clock (leases, times of files, deadlines) is held against the other's
//! after the move.

use std::time::{SystemTime, UNIX_EPOCH};

use godwit_crds::checks::later::CLOCK_SKEW;
use godwit_transfer::Agreed;

/// From so much on it is warned of, in microseconds.
const MUCH: i64 = 100_000;

/// Now, by this node's clock (`CLOCK_REALTIME`), in microseconds of Unix time.
pub(crate) fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// What is to be said of the other node's clock, if anything: `sent` and `arrived` are when the manifest left and the answer came, by ours.
pub(super) fn warning(node: &str, sent: u64, answer: Agreed, arrived: u64) -> Option<String> {
    let ahead = ahead(sent, answer, arrived)?;
    (ahead.abs() > MUCH).then(|| {
        let way = if ahead > 0 { "ahead of" } else { "behind" };
        format!(
            "{}: the clock of node {node} is {} ms {way} this one's, and the pod's processes go by it after the move; synchronise the nodes' clocks",
            CLOCK_SKEW.name,
            ahead.abs() / 1_000
        )
    })
}

/// How far the other clock is ahead of ours at least, in microseconds: the way there and back together took a known time, of which either may
/// have had all (RFC 5905, section 8). None: the other side has not told its clock, or a clock was set meanwhile.
fn ahead(sent: u64, answer: Agreed, arrived: u64) -> Option<i64> {
    if answer.received_us == 0 {
        return None;
    }
    let signed = |value: u64| i64::try_from(value).ok();
    let there = signed(answer.received_us)?.checked_sub(signed(sent)?)?;
    let back = signed(answer.sent_us)?.checked_sub(signed(arrived)?)?;
    let ways = there.checked_sub(back)?;
    if ways < 0 {
        return None;
    }
    let middle = there.checked_add(back)? / 2;
    let sure = middle.checked_abs()?.saturating_sub(ways / 2).max(0);
    Some(sure * middle.signum())
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_800_000_000_000_000;

    /// Ways of these lengths, half a second of work there, and a clock that is so far ahead.
    fn told(there: u64, back: u64, ahead: i64) -> Option<String> {
        let other = |at: u64| at.checked_add_signed(ahead).unwrap();
        let work = 500_000;
        let answer = Agreed {
            received_us: other(START + there),
            sent_us: other(START + there + work),
        };
        warning("n2", START, answer, START + there + work + back)
    }

    #[test]
    fn a_clock_that_is_certainly_another_is_warned_of() {
        for (ahead, words) in [(150_000, "149 ms ahead of"), (-3_000_000, "2999 ms behind")] {
            let text = told(400, 600, ahead).unwrap();
            assert!(text.contains(words) && text.contains("node n2"), "{text}");
        }
        for ahead in [0, 99_000, -99_000] {
            assert_eq!(told(400, 600, ahead), None);
        }
    }

    #[test]
    fn what_the_way_may_have_taken_is_no_skew() {
        assert_eq!(told(0, 300_000, 0), None);
        assert_eq!(told(300_000, 0, 90_000), None);
        assert!(told(0, 300_000, 500_000).is_some());
    }

    #[test]
    fn nonsense_says_nothing() {
        for answer in [
            Agreed::default(),
            Agreed {
                received_us: u64::MAX,
                sent_us: 1,
            },
            Agreed {
                received_us: 1,
                sent_us: u64::MAX,
            },
            Agreed {
                received_us: START + 9_000_000,
                sent_us: START,
            },
        ] {
            let _ = warning("n2", START, answer, START + 1);
        }
        assert_eq!(warning("n2", START, Agreed::default(), START + 1), None);
        let set_back = Agreed {
            received_us: START,
            sent_us: START + 900_000,
        };
        assert_eq!(warning("n2", START, set_back, START + 1_000), None);
    }
}
