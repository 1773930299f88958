//! File trees on the move.
//!
//! What a container wrote lies in the upper directory of its overlay mount. [`write_base`] turns that layer, read while the
//! container runs, into one self-describing stream of bytes; [`write_delta`] sends, while it is frozen, only what has changed
//! since ([`write_round`]s between the two can make that less); [`apply`] plays all of them back *through the merged overlay mount* of the new container, before its processes
//! exist. Afterwards the two merged trees are equal: contents, holes, owners, modes, times, extended attributes,
//! hard links. Plain trees such as `/dev/shm` travel the same way.
//!
//! Three rules carry the correctness:
//!
//! - **A delta compares with the start of the base pass, never with the reading of one file.** Whatever has a change time
//!   at or after that start (minus [`CLOCK_SLACK`], since kernels stamp files with a clock that ticks every
//!   1 to 10 ms) is sent again, whether or not its stamps differ. So a write in the same tick as the read cannot be missed.
//! - **Writes through memory maps move no clock once a page is dirty.** Files mapped shared and writable at the start of the base pass or in the
//!   freeze are always sent again ([`SharedMapped`]); on tmpfs, where a page that was read first
//!   is written without any fault, contents are compared.
//! - **The target trusts nothing.** Every path is opened relative to the root without following a symbolic link or crossing
//!   a mount point; every length is bounded; nothing counts until the closing hash has been checked.
//!
//! Of a file of 1 MiB or more that has changed, the blocks that differ are sent; the target writes them into the file that it has.
//!
//! Memory: [`BaseManifest`] keeps about 100 bytes plus the path for each entry of the layer, and 16 bytes for each block of a big file;
//! everything else is bounded.

mod apply;
mod attributes;
mod base;
mod beneath;
mod blocks;
mod changes;
mod content;
mod delta;
mod emit;
mod error;
mod frame;
mod limit;
mod listing;
mod manifest;
mod mapped;
mod meta;
mod overlay;
mod place;
mod remove;
mod round;
mod scan;
mod source;
mod stats;
mod target;
mod walk;
mod wire;

pub use apply::{ApplyState, apply};
pub use base::write_base;
pub use delta::write_delta;
pub use error::{Error, Result};
pub use limit::Limits;
pub use manifest::{BaseManifest, CLOCK_SLACK};
pub use mapped::SharedMapped;
pub use overlay::Marks;
pub use round::write_round;
pub use source::Source;
pub use stats::Stats;
pub use target::Target;
