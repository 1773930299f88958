//! Sockets as the pod's network namespace tells of them.

mod diag;
mod multicast;
pub(crate) mod netlink;
pub(crate) mod tcp;
pub(crate) mod unix;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

/// By inode number.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// Listening TCP sockets with connections that nobody has accepted.
    pub(crate) unaccepted: BTreeMap<u64, tcp::Waiting>,
    /// Handshakes that are not over, by local port.
    pub(crate) half_open: Vec<u16>,
    /// Netlink sockets with bytes that nobody has read.
    pub(crate) unread: BTreeMap<u64, u64>,
    /// Multicast groups that programs have joined.
    pub(crate) groups: BTreeSet<IpAddr>,
    /// Unix sockets.
    pub(crate) unix: BTreeMap<u64, unix::Socket>,
}

impl Sockets {
    /// Those of the network namespace in which the process is.
    pub(crate) fn read(process: &Path) -> Self {
        let net = process.join("net");
        let (unaccepted, half_open) = tcp::waiting(&net);
        Self {
            unaccepted,
            half_open,
            unread: netlink::unread(&net.join("netlink")),
            groups: multicast::groups(&net),
            unix: unix::all(&process.join("ns/net")),
        }
    }
}
