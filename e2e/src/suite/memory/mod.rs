//! Memory that travels while its pod runs, and is filled in behind it: correct first, whatever is broken meanwhile.

mod agents;
mod budget;
mod called_off;
mod converge;
mod fill;
mod modes;
mod moved;
mod resumed;
mod snapshot;
mod steps;
mod together;
mod wire;
mod writer;

use std::sync::atomic::{AtomicBool, Ordering};

use super::Behaviour;

/// All of them.
pub const ALL: &[Behaviour] = &[
    moved::BEHAVIOUR,
    steps::BEHAVIOUR,
    agents::BEHAVIOUR,
    fill::BEHAVIOUR,
    budget::TOO_FAST,
    budget::TOO_SMALL,
    converge::ENDS,
    converge::BROKEN_OFF,
    called_off::BEHAVIOUR,
    resumed::BEHAVIOUR,
    modes::BEHAVIOUR,
    wire::BEHAVIOUR,
    together::BEHAVIOUR,
    snapshot::BEHAVIOUR,
];

static SOAK: AtomicBool = AtomicBool::new(false);

/// From now on, the behaviours here are shown at full length: a hundred moves instead of a dozen, a gigabyte instead
/// of a quarter of one.
pub fn soak() {
    SOAK.store(true, Ordering::Relaxed);
}

/// One number for an ordinary run, another one for a long one.
fn usually(ordinary: u32, long: u32) -> u32 {
    if SOAK.load(Ordering::Relaxed) {
        long
    } else {
        ordinary
    }
}
