//! Connections that the kernel has made, or is making, and that no process has accepted yet. CRIU refuses them ("In-flight connection"); the agent
//! waits for them before the freeze, so they matter only if the program never takes them.

use super::report::{Found, Place, Report};
use crate::scene::Scene;

pub(super) const CHECK: &str = "ConnectionsNotAccepted";
const CURE: &str = "the freeze waits for them a moment, and then the move fails: let the program accept its connections, or close the listener";

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    for descriptor in &place.process.descriptors {
        let waiting = descriptor
            .socket()
            .and_then(|inode| place.scene.sockets.unaccepted.get(&inode));
        if let Some(waiting) = waiting {
            let what = format!("has not accepted {} connections", waiting.connections);
            let found = Found {
                check: CHECK,
                object: format!("port {}", waiting.port),
                what: &what,
                cure: CURE,
            };
            report.add(false, place.container, Some(place.process), found);
        }
    }
}

/// Handshakes belong to no process yet.
pub(super) fn half_open(scene: &Scene, report: &mut Report) {
    let Some(container) = scene.containers.first() else {
        return;
    };
    for port in &scene.sockets.half_open {
        let what = "somebody is connecting to the pod";
        let object = format!("port {port}");
        report.add(
            false,
            container,
            None,
            Found {
                check: CHECK,
                object,
                what,
                cure: CURE,
            },
        );
    }
}
