//! How a lane gets its connection, and for how long that is tried.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use godwit_transfer::Hello;
use tokio::time::Instant;

use crate::{
    identity::Identity,
    peer::{
        self, PeerError, Receiver, Sender, Timing,
        refusal::{LANE_OUT_OF_BOUNDS, WRONG_NODE},
    },
};

/// How long a lane may go without anything being kept by the target, before the copy is given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
/// Pause before the first try after a break, which doubles with each one that is of no use, up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(3));
/// Refusals that will not change.
const FINAL: [&str; 3] = [LANE_OUT_OF_BOUNDS, WRONG_NODE, "VersionMismatch"];

/// Where lanes lead, and who calls.
#[derive(Clone)]
pub(in crate::source) struct Dial {
    /// The target's agent.
    pub(in crate::source) address: SocketAddr,
    /// Its node.
    pub(in crate::source) target: String,
    /// This agent.
    pub(in crate::source) identity: Arc<Identity>,
    /// Its node.
    pub(in crate::source) own: String,
    /// UID of the migration.
    pub(in crate::source) migration: String,
    /// Deadlines of the connections.
    pub(in crate::source) timing: Timing,
    /// How long a lane may be without use.
    pub(in crate::source) give_up_after: Duration,
    /// The pause before the first try after a break, and the longest.
    pub(in crate::source) pauses: (Duration, Duration),
}

impl Dial {
    /// With the usual deadlines.
    pub(in crate::source) fn new(
        (address, target): (SocketAddr, &str),
        (identity, own): (Arc<Identity>, &str),
        migration: &str,
    ) -> Self {
        Self {
            address,
            target: target.to_owned(),
            identity,
            own: own.to_owned(),
            migration: migration.to_owned(),
            timing: Timing::default(),
            give_up_after: GIVE_UP_AFTER,
            pauses: PAUSES,
        }
    }

    /// Opens the lane of that number.
    pub(super) async fn lane(&self, number: u32) -> Result<(Sender, Receiver), PeerError> {
        let hello = Hello::lane(&self.migration, &self.own, number);
        peer::greet_within(self.timing, self.address, &self.target, &self.identity, hello).await
    }
}

/// True if another try may help.
pub(super) fn may_be_resumed(error: &PeerError) -> bool {
    match error {
        PeerError::WrongNode { .. } | PeerError::NodeName(_) | PeerError::Version(_) => false,
        PeerError::Refused { reason, .. } => !FINAL.contains(&reason.as_str()),
        _ => true,
    }
}

/// Breaks in a row.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    since: Option<Instant>,
    pause: Duration,
}

impl Trouble {
    /// The target has kept something.
    pub(super) fn over(&mut self) {
        *self = Self::default();
    }

    /// It broke (again) at `now`: how long to wait before the next try; `None` if that has gone on for too long.
    pub(super) fn again(&mut self, now: Instant, dial: &Dial) -> Option<Duration> {
        self.next(now, dial.pauses, dial.give_up_after)
    }

    fn next(&mut self, now: Instant, pauses: (Duration, Duration), limit: Duration) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        self.pause = (2 * self.pause).clamp(pauses.0, pauses.1);
        (now + self.pause < since + limit).then_some(self.pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_for_so_long_and_no_longer() {
        let (mut trouble, start) = (Trouble::default(), Instant::now());
        let limit = Duration::from_secs(30);
        let mut now = start;
        let mut pauses = Vec::new();
        while let Some(pause) = trouble.next(now, PAUSES, limit) {
            pauses.push(pause.as_millis());
            now += pause;
        }
        assert_eq!(pauses[..7], [100, 200, 400, 800, 1600, 3000, 3000]);
        assert!(now > start + limit - PAUSES.1 - PAUSES.1 && now < start + limit);
        trouble.over();
        assert_eq!(trouble.next(now, PAUSES, limit), Some(PAUSES.0));
    }

    #[test]
    fn what_never_changes_is_not_tried_again() {
        let refused = |reason: &str| PeerError::Refused {
            node: "n2".to_owned(),
            reason: reason.to_owned(),
            message: String::new(),
        };
        assert!(may_be_resumed(&refused("MigrationUnknown")) && may_be_resumed(&refused("LanesClosed")));
        assert!(!may_be_resumed(&refused("LaneOutOfBounds")) && !may_be_resumed(&refused("WrongNode")));
        assert!(may_be_resumed(&PeerError::Closed {
            node: "n2".to_owned()
        }));
    }
}
