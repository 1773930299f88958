//! The receiving half of a connection.

use std::sync::Arc;
use std::time::Duration;

use godwit_transfer::Event;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::PeerError;
use super::connection::Link;

/// Receives what the peer sends, checked; pings are answered whether or not anyone receives.
pub struct Receiver {
    events: mpsc::Receiver<Event>,
    link: Arc<Link>,
}

impl Receiver {
    pub(super) fn new(events: mpsc::Receiver<Event>, link: Arc<Link>) -> Self {
        Self { events, link }
    }

    /// The next event. Everything that came before an error is given before the error; then the error, again and
    /// again: [`PeerError::Closed`] if the peer simply closed the connection. Nothing is lost if the call is dropped.
    pub async fn recv(&mut self) -> Result<Event, PeerError> {
        self.events.recv().await.ok_or_else(|| self.link.error())
    }

    /// The same with a deadline. `what` says in the error what was waited for.
    pub async fn recv_within(&mut self, limit: Duration, what: &'static str) -> Result<Event, PeerError> {
        timeout(limit, self.recv())
            .await
            .unwrap_or(Err(PeerError::Deadline { what, limit }))
    }

    /// The peer's node.
    pub fn node(&self) -> &str {
        &self.link.node
    }
}
