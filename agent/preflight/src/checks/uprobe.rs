//! A page that the kernel has put into a process because a tracer of the node has set a breakpoint there (bpftrace, profilers by eBPF).

use super::report::{Place, Report};

pub(super) const CHECK: &str = "UprobeUnsupported";
const CURE: &str = "stop the tracer on the node and restart the program: the page stays until then";

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    if place.process.mappings.iter().any(|it| it.name == b"[uprobes]") {
        report.refuse(
            CHECK,
            place,
            "[uprobes]",
            "is traced by breakpoints of the kernel",
            CURE,
        );
    }
}
