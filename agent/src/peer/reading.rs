//! The task that reads frames, checks them, and answers pings.

use std::io;
use std::sync::{Arc, Weak};

use godwit_transfer::{Decoder, Event, Inbound, Message, Nonce, SessionError};
use tokio::io::{AsyncReadExt, ReadHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::PeerError;
use super::connection::{Link, Tls};
use super::sender::Shared;

/// Events that may wait for whoever receives; bounds the memory of a connection to so many frames.
const QUEUE: usize = 8;
/// Room for each read: one TLS record, which is what rustls gives at most.
const RECORD: usize = 16 << 10;

struct Reader {
    tls: ReadHalf<Tls>,
    decoder: Decoder,
    inbound: Inbound,
    sender: Weak<Shared>,
    events: mpsc::Sender<Event>,
    link: Arc<Link>,
}

/// Starts the task; it ends when the receiver is gone, the connection ends or is stopped.
pub(super) fn start(
    tls: ReadHalf<Tls>,
    inbound: Inbound,
    sender: Weak<Shared>,
    link: Arc<Link>,
) -> mpsc::Receiver<Event> {
    let (events, received) = mpsc::channel(QUEUE);
    let gone = events.clone();
    let mut reader = Reader {
        tls,
        decoder: Decoder::new(),
        inbound,
        sender,
        events,
        link: Arc::clone(&link),
    };
    tokio::spawn(async move {
        let ended = tokio::select! {
            ended = reader.run() => ended,
            () = link.stop.cancelled() => Ok(()),
            () = gone.closed() => Ok(()),
        };
        match ended {
            // The writer may still have something to say: it ends by itself.
            Err(error @ PeerError::Closed { .. }) => link.fail(error),
            Err(error) => {
                link.fail(error);
                link.stop.cancel();
            }
            Ok(()) => {}
        }
    });
    received
}

impl Reader {
    /// Never ends without an error.
    async fn run(&mut self) -> Result<(), PeerError> {
        let mut heard = Instant::now();
        loop {
            self.hand_over().await?;
            let space = self.decoder.space(RECORD);
            match timeout(self.link.timing.ping_after, self.tls.read_buf(space)).await {
                Ok(Ok(0)) => return Err(self.end()),
                Ok(Ok(_)) => heard = Instant::now(),
                Ok(Err(source)) => return Err(self.lost(source)),
                Err(_) if heard.elapsed() >= self.link.timing.silence => {
                    return Err(PeerError::Silent {
                        node: self.link.node.clone(),
                        limit: self.link.timing.silence,
                    });
                }
                Err(_) => self.ping(),
            }
        }
    }

    async fn hand_over(&mut self) -> Result<(), PeerError> {
        let node = || self.link.node.clone();
        while let Some(frame) = self
            .decoder
            .next_frame()
            .map_err(|source| PeerError::Decode { node: node(), source })?
        {
            let event = self
                .inbound
                .receive(frame)
                .map_err(|source| PeerError::Session { node: node(), source })?;
            match event {
                Event::Message(Message::Ping(nonce)) => self.say(&Message::Pong(nonce)),
                Event::Message(Message::Pong(_)) | Event::Ignored => {}
                // A receiver that is gone ends the task elsewhere.
                event => drop(self.events.send(event).await),
            }
        }
        Ok(())
    }

    /// Beside the reading, which must go on while the queue is full.
    fn ping(&self) {
        let (sender, node) = (self.sender.clone(), self.link.node.clone());
        tokio::spawn(async move {
            let Some(sender) = sender.upgrade() else { return };
            if let Err(error) = sender.send_soon(&Message::Ping(Nonce { nonce: 0 })).await {
                tracing::trace!(node, %error, "no ping now");
            }
        });
    }

    /// Pings and answers are not sent where the session has no place for them (before Welcome, after the end).
    fn say(&self, message: &Message) {
        let said: Result<(), SessionError> = self
            .sender
            .upgrade()
            .map_or(Ok(()), |sender| sender.send_now(message));
        if let Err(error) = said {
            tracing::trace!(node = self.link.node, %error, "no ping now");
        }
    }

    /// What a proper end of the stream means.
    fn end(&self) -> PeerError {
        let node = self.link.node.clone();
        match self.decoder.finish() {
            Ok(()) => PeerError::Closed { node },
            Err(source) => PeerError::Decode { node, source },
        }
    }

    fn lost(&self, source: io::Error) -> PeerError {
        PeerError::Lost {
            node: self.link.node.clone(),
            source: Arc::new(source),
        }
    }
}
