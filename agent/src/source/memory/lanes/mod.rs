//! Lanes: connections beside each other that carry memory while the pod runs.
//!
//! A round is cut into pieces ([`plan`]), which the lanes take as they can. Each lane has a thread that reads and encodes ([`reading`]) and
//! a connection ([`lane`]). The round is over when the target has kept every piece. A connection that breaks is dialled again ([`dial`]), and
//! the pieces that are not known to be kept are read and sent again by the same lane: what is sent later is newer, and the target lets the
//! new connection in only when it has done with the old one.

mod dial;
mod lane;
mod plan;
mod reading;
#[cfg(test)]
mod tests;

use std::{num::NonZero, sync::Arc, thread};

use futures::future::try_join_all;
use godwit_memory::wire::Chooser;
use godwit_transfer::MAX_LANES;

use self::lane::{Lane, Work};
use super::pump::{Caps, Sent};
use crate::failure::Failure;

pub(in crate::source) use self::dial::Dial;
pub(super) use self::plan::Plan;

/// More would not be faster: one lane with a processor of its own fills 10 Gbit/s, unless it compresses.
const MOST: usize = 4;
/// Memory for which it pays to open one more.
const BYTES_OF_ONE: u64 = 256 << 20;

/// How many lanes so much memory gets on a machine with so many processors: encoding keeps a processor busy, and the pod needs one too.
fn worth(processors: usize, bytes: u64) -> usize {
    let by_size = usize::try_from(bytes.div_ceil(BYTES_OF_ONE)).unwrap_or(usize::MAX);
    let by_processors = if processors <= 2 { 1 } else { processors };
    MOST.min(by_processors).min(by_size).clamp(1, MAX_LANES as usize)
}

/// The lanes of a migration.
pub(super) struct Lanes(Vec<Lane>);

impl Lanes {
    /// As many as are worth it for so many bytes. Nothing is dialled yet.
    pub(super) fn for_memory(dial: Dial, bytes: u64) -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        Self::new(dial, worth(processors, bytes))
    }

    fn new(dial: Dial, count: usize) -> Self {
        let dial = Arc::new(dial);
        let lanes = (0..).take(count);
        Self(
            lanes
                .map(|number| Lane::new(number, count, dial.clone()))
                .collect(),
        )
    }

    /// Sends a round; returns when the target has kept all of it. Fails if pages cannot be read, or a lane cannot be resumed.
    pub(super) async fn round(&mut self, plan: Arc<Plan>, caps: &Caps, sent: &Sent) -> Result<(), Failure> {
        let work = Work { plan, caps, sent };
        try_join_all(self.0.iter_mut().map(|lane| lane.round(&work))).await?;
        Ok(())
    }

    /// Ends them; gives what has been learnt of the link and of compression.
    pub(super) fn end(mut self) -> Option<Chooser> {
        for lane in &mut self.0 {
            lane.close();
        }
        Chooser::joined(self.0.iter().filter_map(Lane::chooser))
    }
}

#[cfg(test)]
mod counting {
    use super::*;

    #[test]
    fn lanes_are_as_many_as_are_of_use() {
        const GIB: u64 = 1 << 30;
        for (processors, bytes, count) in [
            (1, 64 * GIB, 1),
            (2, 64 * GIB, 1),
            (3, 64 * GIB, 3),
            (64, 64 * GIB, 4),
            (64, 512 << 20, 2),
            (64, 1, 1),
            (64, 0, 1),
        ] {
            assert_eq!(worth(processors, bytes), count, "{processors} {bytes}");
        }
    }
}
