//! Throughput from a count that was noted now and then.

/// When (microseconds since 1970), and the count by then; oldest first.
pub(super) type Windows = Vec<(u64, u64)>;

/// Shorter than that says nothing.
const LEAST_US: u64 = 150_000;

/// What was counted in a second, between these two times.
#[expect(clippy::cast_precision_loss, reason = "counts of seconds")]
pub(super) fn rate(windows: &[(u64, u64)], from_us: u64, to_us: u64) -> Option<f64> {
    let within = |window: &&(u64, u64)| (from_us..=to_us).contains(&window.0);
    let first = windows.iter().find(within)?;
    let last = windows.iter().rev().find(within)?;
    let passed = last.0.checked_sub(first.0).filter(|&passed| passed >= LEAST_US)?;
    Some(last.1.saturating_sub(first.1) as f64 * 1e6 / passed as f64)
}

/// One rate in percent of another one, if that is one.
pub(super) fn percent(of: Option<f64>, normal: Option<f64>) -> Option<f64> {
    let normal = normal.filter(|&normal| normal > 0.0)?;
    of.map(|of| of / normal * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_the_time_between() {
        let windows: Windows = (0..20)
            .map(|at| (at * 100_000, at * if at < 10 { 50 } else { 25 }))
            .collect();
        assert_eq!(rate(&windows, 0, 900_000), Some(500.0));
        assert_eq!(rate(&windows, 1_000_000, 1_900_000), Some(250.0));
        assert_eq!(rate(&windows, 0, 100_000), None);
        assert_eq!(rate(&windows, 5_000_000, 6_000_000), None);
        assert_eq!(percent(Some(250.0), Some(500.0)), Some(50.0));
        assert_eq!(percent(Some(250.0), Some(0.0)), None);
    }
}
