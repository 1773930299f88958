//! Which version of the conversation two agents use.

use std::ops::RangeInclusive;

use thiserror::Error;

/// Versions that this release speaks. During an upgrade of the cluster two releases meet: a release that brings a new
/// version keeps the one before it.
pub const PROTOCOL_VERSIONS: RangeInclusive<u32> = 1..=1;

/// No version in common.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "the peer speaks protocol versions {}..{}, this agent {}..{}; finish the upgrade of the agents first",
    theirs.start(), theirs.end(), ours.start(), ours.end()
)]
pub struct VersionError {
    ours: RangeInclusive<u32>,
    theirs: RangeInclusive<u32>,
}

impl VersionError {
    /// Stable name.
    pub fn reason(&self) -> &'static str {
        "VersionMismatch"
    }
}

/// The highest version that both sides speak. Fails if there is none, also if a range is empty.
pub fn negotiate(ours: &RangeInclusive<u32>, theirs: &RangeInclusive<u32>) -> Result<u32, VersionError> {
    let highest = *ours.end().min(theirs.end());
    if ours.contains(&highest) && theirs.contains(&highest) {
        Ok(highest)
    } else {
        Err(VersionError {
            ours: ours.clone(),
            theirs: theirs.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picks_the_highest_of_both() {
        for (ours, theirs, picked) in [
            (1..=1, 1..=1, Some(1)),
            (1..=3, 2..=5, Some(3)),
            (2..=5, 1..=3, Some(3)),
            (1..=9, 4..=4, Some(4)),
            (1..=2, 3..=4, None),
            (3..=4, 1..=2, None),
        ] {
            assert_eq!(negotiate(&ours, &theirs).ok(), picked, "{ours:?} {theirs:?}");
        }
    }

    #[test]
    #[allow(clippy::reversed_empty_ranges)] // What a peer might send is the point.
    fn an_empty_range_matches_nothing() {
        for theirs in [2..=1, u32::MAX..=0, 9..=1] {
            let error = negotiate(&(1..=9), &theirs).unwrap_err();
            assert_eq!(error.reason(), "VersionMismatch");
        }
    }
}
