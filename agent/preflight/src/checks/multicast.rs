//! Memberships in multicast groups: they belong to sockets, which CRIU makes anew without them.

use super::report::{Found, Report};
use crate::scene::Scene;

pub(super) const CHECK: &str = "MulticastUnsupported";

pub(super) fn look(scene: &Scene, report: &mut Report) {
    let Some(container) = scene.containers.first() else {
        return;
    };
    for group in &scene.sockets.groups {
        let found = Found {
            check: CHECK,
            object: group.to_string(),
            what: "a socket of the pod is a member of a multicast group",
            cure: "CRIU does not restore that, and nothing sent to the group would come any more: let the program join again when the pod has moved, and accept this",
        };
        report.add(true, container, None, found);
    }
}
