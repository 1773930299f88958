//! A process that waits without being disturbed: CRIU cannot stop it ("Unseizable non-zombie, state D").

use super::report::{Place, Report};

pub(super) const CHECK: &str = "ProcessUninterruptible";

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    if place.process.status.state == b'D' {
        let cure = "it waits for a disk or network file system that does not answer, or has called vfork for a child that goes on: try again when that is over";
        report.refuse(CHECK, place, "state D", "cannot be stopped", cure);
    }
}
