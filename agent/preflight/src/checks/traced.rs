//! A process that somebody traces: only one may at a time ("Unseizable non-zombie").

use super::report::{Place, Report};

pub(super) const CHECK: &str = "ProcessTraced";

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    let tracer = place.process.status.tracer;
    if tracer != 0 {
        let cure = "end the debugger or tracer (gdb, strace, delve), or detach it";
        report.refuse(
            CHECK,
            place,
            format!("PID {tracer} on the node"),
            "is traced",
            cure,
        );
    }
}
