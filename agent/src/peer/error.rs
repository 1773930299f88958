//! What can go wrong between two agents.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use godwit_transfer::{DecodeError, SessionError, VersionError};
use thiserror::Error;

/// Why a connection could not be had, or ended. Cheap to clone: both halves of a connection report the same one.
#[derive(Clone, Debug, Error)]
pub enum PeerError {
    /// The port cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Cause.
        #[source]
        source: Arc<io::Error>,
    },
    /// No connection.
    #[error(
        "cannot connect to the agent of node {node} at {address}; is it running, and is the port open between nodes?"
    )]
    Connect {
        /// The node.
        node: String,
        /// Its address.
        address: SocketAddr,
        /// Cause.
        #[source]
        source: Arc<io::Error>,
    },
    /// Too slow.
    #[error("{what} took longer than {} ms", .limit.as_millis())]
    Deadline {
        /// What was waited for.
        what: &'static str,
        /// How long.
        limit: Duration,
    },
    /// TLS was not agreed on: another CA, an expired certificate, another node, another protocol.
    #[error("the TLS handshake failed")]
    Handshake(#[source] Arc<io::Error>),
    /// The peer is not who it should be.
    #[error("the peer has proved to be node `{got}`, not `{expected}`")]
    WrongNode {
        /// Who it should be.
        expected: String,
        /// What its certificate or its Hello says; empty: no node.
        got: String,
    },
    /// A node name that fits in no certificate.
    #[error("`{0}` cannot be the name of a node with an agent")]
    NodeName(String),
    /// The peer did not open the session as it must.
    #[error("the peer answered {got} where {expected} was due")]
    Opening {
        /// What was due.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// The peer says no.
    #[error("the agent of node {node} refused ({reason}): {message}")]
    Refused {
        /// The peer.
        node: String,
        /// Its reason.
        reason: String,
        /// Its message.
        message: String,
    },
    /// No version in common.
    #[error("the two agents have no protocol version in common")]
    Version(#[source] VersionError),
    /// The connection broke.
    #[error("the connection to the agent of node {node} broke")]
    Lost {
        /// The peer.
        node: String,
        /// Cause.
        #[source]
        source: Arc<io::Error>,
    },
    /// The peer ended the connection; all that it sent before has been received.
    #[error("the agent of node {node} closed the connection")]
    Closed {
        /// The peer.
        node: String,
    },
    /// The peer takes nothing.
    #[error("the agent of node {node} has not taken any data for {} s", .limit.as_secs())]
    Stalled {
        /// The peer.
        node: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The peer says nothing, not even to a ping.
    #[error("nothing has come from the agent of node {node} for {} s", .limit.as_secs())]
    Silent {
        /// The peer.
        node: String,
        /// How long was waited.
        limit: Duration,
    },
    /// Bytes that are no frames.
    #[error("the agent of node {node} sent what is not the protocol")]
    Decode {
        /// The peer.
        node: String,
        /// What is wrong.
        #[source]
        source: DecodeError,
    },
    /// A message or object out of place: of this side or of the peer.
    #[error("the session with the agent of node {node} cannot go on so")]
    Session {
        /// The peer.
        node: String,
        /// What is wrong.
        #[source]
        source: SessionError,
    },
    /// The source of an object to send.
    #[error("what is to be sent cannot be read")]
    Source(#[source] Arc<io::Error>),
}

impl PeerError {
    /// Stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Listen { .. } => "ListenFailed",
            Self::Connect { .. } => "ConnectFailed",
            Self::Deadline { .. } => "PeerTooSlow",
            Self::Handshake(_) => "TlsHandshakeFailed",
            Self::WrongNode { .. } => "WrongNode",
            Self::NodeName(_) => "NodeName",
            Self::Opening { .. } => "SessionNotOpened",
            Self::Refused { .. } => "PeerRefused",
            Self::Version(error) => error.reason(),
            Self::Lost { .. } => "ConnectionLost",
            Self::Closed { .. } => "PeerClosed",
            Self::Stalled { .. } => "PeerStalled",
            Self::Silent { .. } => "PeerSilent",
            Self::Decode { source, .. } => source.reason(),
            Self::Session { source, .. } => source.reason(),
            Self::Source(_) => "SourceUnreadable",
        }
    }

    /// True if dialling again later may help: the peer may be starting, may not have heard of the migration yet, or one
    /// of the two may be about to get a new certificate.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Deadline { .. }
            | Self::Handshake(_)
            | Self::Lost { .. }
            | Self::Closed { .. }
            | Self::Stalled { .. }
            | Self::Silent { .. } => true,
            Self::Refused { reason, .. } => reason != "VersionMismatch",
            _ => false,
        }
    }
}
