//! Options of a connection's socket.

use std::os::fd::AsFd;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::TcpStream;

/// How long sent data may stay unacknowledged, in ms: a cut link is noticed after that, not after TCP's 15 minutes.
const USER_TIMEOUT_MS: u32 = 5_000;
/// Idle seconds before the kernel probes the peer, seconds between probes, and probes until it gives up.
const KEEPALIVE: (u32, u32, u32) = (2, 1, 3);
/// Send and receive buffer in bytes: what a 10 Gbit/s link holds in 3 ms.
const BUFFER: usize = 4 << 20;

/// Tunes a fresh connection. An option that the kernel refuses only costs speed or a later notice, so that none is fatal.
pub(super) fn tune(socket: &TcpStream) {
    let mut refused = Vec::new();
    let mut note = |what: &'static str, result: nix::Result<()>| {
        if let Err(errno) = result {
            refused.push((what, errno));
        }
    };
    let fd = socket.as_fd();
    let (idle, interval, count) = KEEPALIVE;
    note("TCP_NODELAY", setsockopt(&fd, sockopt::TcpNoDelay, &true));
    note("SO_KEEPALIVE", setsockopt(&fd, sockopt::KeepAlive, &true));
    note("TCP_KEEPIDLE", setsockopt(&fd, sockopt::TcpKeepIdle, &idle));
    note(
        "TCP_KEEPINTVL",
        setsockopt(&fd, sockopt::TcpKeepInterval, &interval),
    );
    note("TCP_KEEPCNT", setsockopt(&fd, sockopt::TcpKeepCount, &count));
    note(
        "TCP_USER_TIMEOUT",
        setsockopt(&fd, sockopt::TcpUserTimeout, &USER_TIMEOUT_MS),
    );
    // Only by force: below the system's limits the kernel's own tuning does better than a fixed buffer.
    note("SO_SNDBUFFORCE", setsockopt(&fd, sockopt::SndBufForce, &BUFFER));
    note("SO_RCVBUFFORCE", setsockopt(&fd, sockopt::RcvBufForce, &BUFFER));
    for (what, errno) in refused {
        tracing::debug!(what, %errno, "a socket option was refused");
    }
}
