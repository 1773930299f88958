//! Counters and samples of `perf_event_open`: CRIU "can't dump file of that type".

use super::report::{Place, Report, describe};

pub(super) const CHECK: &str = "PerfEventUnsupported";
const CURE: &str = "stop the profiler, or run it outside of the pod";

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    for descriptor in place.anonymous(&["[perf_event]"]) {
        report.refuse(
            CHECK,
            place,
            describe(descriptor),
            "measures events of the processor or kernel",
            CURE,
        );
    }
    let name = b"anon_inode:[perf_event]";
    if place.process.mappings.iter().any(|it| it.name == name)
        && place.anonymous(&["[perf_event]"]).next().is_none()
    {
        report.refuse(
            CHECK,
            place,
            "a mapped buffer",
            "measures events of the processor or kernel",
            CURE,
        );
    }
}
