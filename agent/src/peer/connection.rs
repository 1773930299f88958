//! A connection after its TLS handshake.

use std::sync::{Arc, OnceLock};

use godwit_transfer::{Limits, Party, Session};
use tokio::io::{BufReader, split};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio_rustls::TlsStream;
use tokio_util::sync::CancellationToken;

use super::{PeerError, Receiver, Sender, Timing, reading, writing};

/// rustls reads 4 KiB at a time; behind a buffer that costs a copy in place of a system call.
pub(super) type Tls = TlsStream<BufReader<TcpStream>>;

/// Bytes that are read from the socket at once.
pub(super) const SOCKET_READ: usize = 256 << 10;

/// What both halves and both tasks of a connection share.
pub(super) struct Link {
    pub(super) node: String,
    pub(super) timing: Timing,
    /// Cancelled when the connection is of no more use.
    pub(super) stop: CancellationToken,
    fault: OnceLock<PeerError>,
    /// Counts against the listener's bound until the last part of the connection is gone.
    _place: Option<Place>,
}

/// A place among a listener's connections.
pub(super) struct Place {
    pub(super) _all: OwnedSemaphorePermit,
    pub(super) _one: super::listen::Seat,
}

impl Link {
    /// Notes why the connection ended; the first cause stays.
    pub(super) fn fail(&self, error: PeerError) {
        if self.fault.set(error).is_ok() {
            tracing::debug!(
                node = self.node,
                reason = self.error().reason(),
                "the connection has ended"
            );
        }
    }

    /// Why the connection ended; without a cause, because the peer closed it.
    pub(super) fn error(&self) -> PeerError {
        self.fault().unwrap_or_else(|| PeerError::Closed {
            node: self.node.clone(),
        })
    }

    pub(super) fn fault(&self) -> Option<PeerError> {
        self.fault.get().cloned()
    }
}

/// A connection to the agent of another node, whose certificate has been checked; the session inside has yet to begin.
pub struct Connection {
    sender: Sender,
    receiver: Receiver,
    node: String,
}

impl Connection {
    pub(super) fn new(
        tls: Tls,
        party: Party,
        node: String,
        timing: Timing,
        limits: Limits,
        place: Option<Place>,
    ) -> Self {
        let link = Arc::new(Link {
            node: node.clone(),
            timing,
            stop: CancellationToken::new(),
            fault: OnceLock::new(),
            _place: place,
        });
        let (outbound, inbound) = Session::new(party, limits).split();
        let (read, write) = split(tls);
        let frames = writing::start(write, Arc::clone(&link));
        let sender = Sender::new(outbound, frames, Arc::clone(&link));
        let events = reading::start(read, inbound, sender.weak(), Arc::clone(&link));
        Self {
            sender,
            receiver: Receiver::new(events, link),
            node,
        }
    }

    /// The peer's node, as its certificate proves.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The two halves, for use from different tasks. The connection closes when both (with all clones) are dropped.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    pub(super) fn halves(&mut self) -> (&Sender, &mut Receiver) {
        (&self.sender, &mut self.receiver)
    }
}
