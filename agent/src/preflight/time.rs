//! Whether the pod's memory can be copied before the migration's time is over.

use std::time::Duration;

use godwit_crds::checks::source::TIME_TOO_SHORT;
use godwit_preflight::Finding;

use super::finding::of_node;

/// What is known of the way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    /// Bytes a second that are allowed, by the migration or its node; `None` without a cap.
    pub(super) cap: Option<u64>,
    /// Bytes of memory a second that the last migrations of this node had; `None` before the first.
    pub(super) measured: Option<u64>,
    /// Until the deadline.
    pub(super) left: Duration,
}

/// The check, for a pod with so many bytes of memory. A cap that is too low is the user's, and refused; a rate that was measured with other pods may be
/// another one this time, and is warned of.
pub(super) fn check(way: Way, memory: u64) -> Option<Finding> {
    let takes = |rate: u64| Duration::from_secs(memory / rate.max(1));
    let by_cap = way.cap.map(takes).filter(|takes| *takes > way.left);
    if let Some(takes) = by_cap {
        let cap = way.cap.unwrap_or_default();
        return Some(of_node(
            &TIME_TOO_SHORT,
            message(takes, "are allowed", cap, memory, way.left),
        ));
    }
    let rate = way.measured?;
    let takes = Some(takes(rate)).filter(|takes| *takes > way.left)?;
    Some(Finding {
        refuse: false,
        ..of_node(
            &TIME_TOO_SHORT,
            message(takes, "were measured on this node", rate, memory, way.left),
        )
    })
}

fn message(takes: Duration, how: &str, rate: u64, memory: u64, left: Duration) -> String {
    format!(
        "to copy {} MiB of memory takes about {} s at the {} kB/s that {how}, and {} s are left of spec.timeout: raise spec.timeout or the bandwidth (spec.bandwidth, agent.bandwidth)",
        memory >> 20,
        takes.as_secs(),
        rate / 1000,
        left.as_secs()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;
    const MIB: u64 = 1 << 20;

    fn found(cap: Option<u64>, measured: Option<u64>) -> Option<Finding> {
        let left = Duration::from_secs(100);
        check(Way { cap, measured, left }, GIB)
    }

    #[test]
    fn a_cap_that_is_too_low_is_refused_and_a_slow_network_is_warned_of() {
        let refused = found(Some(MIB), Some(500 * MIB)).unwrap();
        assert!(refused.refuse);
        for part in ["1024 MiB", "1024 s", "1048 kB/s", "100 s", "spec.timeout"] {
            assert!(refused.message.contains(part), "{part}: {}", refused.message);
        }
        let warned = found(Some(500 * MIB), Some(MIB)).unwrap();
        assert!(
            !warned.refuse && warned.message.contains("measured"),
            "{}",
            warned.message
        );
    }

    #[test]
    fn what_fits_or_is_not_known_passes() {
        assert_eq!(found(None, None), None);
        assert_eq!(found(Some(11 * MIB), Some(11 * MIB)), None);
        assert!(found(Some(0), None).is_some(), "no cap of nothing divides by it");
    }
}
