//! Calling another agent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use godwit_transfer::{Event, Hello, Limits, Message, Party};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::connection::SOCKET_READ;
use super::{Connection, PeerError, Receiver, Sender, Timing, socket};
use crate::identity::{Identity, node_of, server_name};

/// Connects to the agent of `node` at `address` and checks that it is that node's, within `timing.handshake`.
///
/// Fails if it cannot be reached, if its certificate is not of our CA, not valid now or another node's; or if it does
/// not accept ours.
pub async fn dial(
    address: SocketAddr,
    node: &str,
    identity: &Identity,
    timing: Timing,
    limits: Limits,
) -> Result<Connection, PeerError> {
    let name = server_name(node).ok_or_else(|| PeerError::NodeName(node.to_owned()))?;
    let deadline = Instant::now() + timing.handshake;
    let late = |what| PeerError::Deadline {
        what,
        limit: timing.handshake,
    };
    let connected = timeout_at(deadline, TcpStream::connect(address)).await;
    let refused = |source: io::Error| PeerError::Connect {
        node: node.to_owned(),
        address,
        source: Arc::new(source),
    };
    let tcp = connected.map_err(|_| late("connecting"))?.map_err(refused)?;
    socket::tune(&tcp);
    let tcp = BufReader::with_capacity(SOCKET_READ, tcp);
    let tls = timeout_at(deadline, TlsConnector::from(identity.client()).connect(name, tcp)).await;
    let tls = tls
        .map_err(|_| late("the TLS handshake"))?
        .map_err(|source| PeerError::Handshake(Arc::new(source)))?;
    let proved = tls
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| node_of(chain.first()?))
        .unwrap_or_default();
    if proved != node {
        return Err(PeerError::WrongNode {
            expected: node.to_owned(),
            got: proved,
        });
    }
    Ok(Connection::new(
        tls.into(),
        Party::Dialer,
        proved,
        timing,
        limits,
        None,
    ))
}

/// Dials, says `hello` and waits for the welcome, with the default deadlines. Fails as [`dial`] does, and with
/// [`PeerError::Refused`] if the peer will not talk.
pub async fn greet(
    address: SocketAddr,
    node: &str,
    identity: &Identity,
    hello: Hello,
) -> Result<(Sender, Receiver), PeerError> {
    greet_within(Timing::default(), address, node, identity, hello).await
}

/// The same with other deadlines.
pub async fn greet_within(
    timing: Timing,
    address: SocketAddr,
    node: &str,
    identity: &Identity,
    hello: Hello,
) -> Result<(Sender, Receiver), PeerError> {
    let mut connection = dial(address, node, identity, timing, Limits::default()).await?;
    let (sender, receiver) = connection.halves();
    sender.send(Message::Hello(hello)).await?;
    // With TLS 1.3 a server's refusal of our certificate arrives only here.
    match receiver
        .recv_within(timing.handshake, "the answer to Hello")
        .await?
    {
        Event::Message(Message::Welcome(_)) => Ok(connection.split()),
        Event::Message(Message::Refuse(refuse)) => Err(PeerError::Refused {
            node: node.to_owned(),
            reason: refuse.reason,
            message: refuse.message,
        }),
        other => Err(PeerError::Opening {
            expected: "Welcome",
            got: name_of(&other),
        }),
    }
}

pub(super) fn name_of(event: &Event) -> String {
    match event {
        Event::Message(message) => message.name().to_owned(),
        _ => "an object".to_owned(),
    }
}
