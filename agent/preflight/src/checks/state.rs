//! A process that waits without being disturbed: CRIU cannot stop it ("Unseizable non-zombie, state D").

use super::report::{Place, Report};

pub(super) const CHECK: &str = "ProcessUninterruptible";

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    if place.process.status.state == b'D' {
        let cure = "it waits for a disk or network file system that does not answer, or has called vfork for a child that goes on: try again when that is over";
        // One that waits for a disk again and again is seldom seen otherwise, but each wait ends: two looks must have seen the same one.
        let switches = place.process.status.switches;
        let object = format!("state D (scheduled {switches} times)");
        report.refuse(CHECK, place, object, "cannot be stopped", cure);
    }
}
