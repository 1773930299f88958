//! The pod's memory, sent while the pod runs, and what is left of it in the freeze.
//!
//! | file | its one idea |
//! |---|---|
//! | `wish` | what the migration asks for |
//! | `container` | one container: which pages, read, encoded |
//! | `lanes` | connections that carry rounds while the pod runs, and are resumed when they break |
//! | `pump` | from the thread that reads pages to the wire; the caps |
//! | `copying` | rounds while the pod runs, until it may be frozen |
//! | `throttle` | less CPU time for what writes too fast |
//! | `last` | the rest, in the freeze |
//! | `size` | how much memory there is |
//! | `report` | how far it is, for `status.source.memory` |

mod container;
mod copying;
mod lanes;
mod last;
mod pump;
mod report;
mod size;
mod throttle;
mod wish;

pub use container::MemoryError;
pub(crate) use copying::shortest_freeze;
pub(super) use copying::{Choice, Memory, budget_of_stop_and_copy};
pub(super) use lanes::Dial;
pub(super) use last::{LastRound, Tracked};
pub(super) use size::own_memory;
pub(crate) use size::{own_memory_of, resident_of};
pub(super) use wish::MemoryWish;
