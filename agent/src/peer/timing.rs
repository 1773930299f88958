//! How long a peer may take.

use std::time::Duration;

/// Deadlines of a connection and bounds of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the start of dialling to the answer to Hello; and from accepting to Hello.
    pub handshake: Duration,
    /// Without any progress in writing: the peer no longer reads.
    pub stall: Duration,
    /// Without a byte from the peer until it is pinged.
    pub ping_after: Duration,
    /// Without a byte from the peer, answers to pings included, until it is given up.
    pub silence: Duration,
    /// Most connections of a listener, those in their handshake included.
    pub connections: usize,
    /// Most connections of a listener from one address: each migration may have nine.
    pub connections_of_one: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(5),
            stall: Duration::from_secs(10),
            ping_after: Duration::from_secs(2),
            silence: Duration::from_secs(10),
            connections: 512,
            connections_of_one: 128,
        }
    }
}
