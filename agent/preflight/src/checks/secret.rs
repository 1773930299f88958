//! Memory of `memfd_secret`, which the kernel itself cannot read: no dump can.

use super::report::{Place, Report, describe};

pub(super) const CHECK: &str = "SecretMemoryUnsupported";
const CURE: &str =
    "the kernel lets nobody read this memory, so it cannot be copied: turn it off in the program";
const NAME: &[u8] = b"/secretmem (deleted)";

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    let held = place.process.descriptors.iter().find(|it| it.target == NAME);
    if let Some(descriptor) = held {
        report.refuse(
            CHECK,
            place,
            describe(descriptor),
            "keeps memory by memfd_secret",
            CURE,
        );
    } else if place.process.mappings.iter().any(|it| it.name == NAME) {
        report.refuse(
            CHECK,
            place,
            "a mapping of secret memory",
            "keeps memory by memfd_secret",
            CURE,
        );
    }
}
