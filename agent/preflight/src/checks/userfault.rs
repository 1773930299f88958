//! A process that answers page faults itself: CRIU "can't dump file of that type".

use super::report::{Place, Report, describe};

pub(super) const CHECK: &str = "UserfaultfdUnsupported";
const CURE: &str = "turn the feature off in the program, or let the container start anew at the destination with spec.restartContainers";

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    for descriptor in place.anonymous(&["[userfaultfd]"]) {
        report.refuse(
            CHECK,
            place,
            describe(descriptor),
            "handles page faults by userfaultfd",
            CURE,
        );
    }
}
