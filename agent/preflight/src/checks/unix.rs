//! Unix sockets that are connected to what is not in the container: another container of the pod, or a daemon of the node by a socket in a volume
//! ("Dangling connection", "Unix socket without peer").

use super::report::{Place, Report};
use crate::network::unix::Socket;

pub(super) const CHECK: &str = "UnixPeerOutside";
const CURE: &str = "the other end does not move with it: close the connection before a move (log to stdout instead of a daemon's socket), or talk over TCP";

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    let all = &place.scene.sockets.unix;
    for descriptor in &place.process.descriptors {
        let Some(inode) = descriptor.socket() else {
            continue;
        };
        let Some(socket) = all.get(&inode) else {
            continue;
        };
        let in_container = |inode: &u64| place.container.sockets.contains(inode);
        let waits_here = || {
            let mut listeners = all.iter().filter(|(inode, _)| in_container(inode));
            listeners.any(|(_, listener)| listener.waiting.contains(&inode))
        };
        if leads_outside(socket, in_container, waits_here) {
            let peer = socket.peer.and_then(|peer| all.get(&peer)?.name.clone());
            let to = peer.map_or_else(String::new, |name| format!(" to {name}"));
            let object = format!("descriptor {}{to}", descriptor.number);
            report.refuse(
                CHECK,
                place,
                object,
                "is connected by a unix socket to a process outside of the container",
                CURE,
            );
        }
    }
}

/// `waits_here`: a listener of the container has it in its queue.
fn leads_outside(
    socket: &Socket,
    in_container: impl Fn(&u64) -> bool,
    waits_here: impl FnOnce() -> bool,
) -> bool {
    match socket.peer {
        None => false,
        Some(0) if socket.shut_down => false,
        Some(0) => !waits_here(),
        Some(peer) => !in_container(&peer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_inside_if_a_process_of_the_container_has_it() {
        let judged = |peer, shut_down, waits| {
            let socket = Socket {
                peer,
                shut_down,
                connected: true,
                ..Socket::default()
            };
            leads_outside(&socket, |&inode| inode == 7, || waits)
        };
        assert!(!judged(None, false, false), "not connected");
        assert!(!judged(Some(7), false, false), "to the container itself");
        assert!(judged(Some(8), false, false), "to a stranger");
        assert!(!judged(Some(0), true, false), "its peer is closed");
        assert!(
            !judged(Some(0), false, true),
            "to a listener of the container that has not accepted"
        );
        assert!(
            judged(Some(0), false, false),
            "to a stranger that has not accepted"
        );
    }
}
