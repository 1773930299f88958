//! A supervisor that is asked about another process's system calls: CRIU "can't dump file of that type".

use super::report::{Place, Report, describe};

pub(super) const CHECK: &str = "SeccompNotifyUnsupported";
const CURE: &str =
    "the supervisor's connection to the filter cannot be made anew: run the supervised program without it";

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    for descriptor in place.anonymous(&["seccomp notify"]) {
        report.refuse(
            CHECK,
            place,
            describe(descriptor),
            "answers for system calls of a seccomp filter",
            CURE,
        );
    }
}
