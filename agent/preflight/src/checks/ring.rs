//! `io_uring`: "`send_fds` failed" for its descriptors, "Unknown shit" for its mappings.

use super::report::{Place, Report, describe};

pub(super) const CHECK: &str = "IoUringUnsupported";
const CURE: &str = "CRIU cannot take io_uring along: turn it off in the program (PostgreSQL: io_method=worker), or by seccompProfile RuntimeDefault (Node.js)";
const NAME: &str = "[io_uring]";

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    for descriptor in place.anonymous(&[NAME]) {
        report.refuse(CHECK, place, describe(descriptor), "uses io_uring", CURE);
    }
    // The rings outlive the descriptor.
    let mapped = place
        .process
        .mappings
        .iter()
        .any(|it| it.name == b"anon_inode:[io_uring]");
    if mapped && place.anonymous(&[NAME]).next().is_none() {
        report.refuse(CHECK, place, "a mapped ring", "uses io_uring", CURE);
    }
}
