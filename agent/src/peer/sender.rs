//! The sending half of a connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::{Bytes, BytesMut};
use godwit_transfer::{
    CHUNK_LEN, Frame, MAX_FRAME_LEN, Message, ObjectId, ObjectSpec, Outbound, SessionError,
};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{mpsc, oneshot};

use super::PeerError;
use super::connection::Link;
use super::writing::Order;

/// Sends messages and objects; clones send on the same connection, from any task.
///
/// A function returns when its frame is in the (short) queue of the writer, which waits if the peer takes no more.
/// After any error of the connection every call fails with that error.
#[derive(Clone)]
pub struct Sender {
    node: Arc<str>,
    now: Arc<Mutex<Arc<Shared>>>,
}

pub(super) struct Shared {
    outbound: Mutex<Outbound>,
    orders: mpsc::Sender<Order>,
    link: Arc<Link>,
}

impl Sender {
    pub(super) fn new(outbound: Outbound, orders: mpsc::Sender<Order>, link: Arc<Link>) -> Self {
        Self {
            node: link.node.as_str().into(),
            now: Arc::new(Mutex::new(Arc::new(Shared {
                outbound: Mutex::new(outbound),
                orders,
                link,
            }))),
        }
    }

    pub(super) fn weak(&self) -> Weak<Shared> {
        Arc::downgrade(&self.now())
    }

    /// From now on this sender and its clones send on the connection of `other`, to the same node; theirs is let go. What was under way on
    /// it is lost.
    pub fn move_to(&self, other: &Self) {
        let shared = other.now();
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = shared;
    }

    /// The connection there is.
    fn now(&self) -> Arc<Shared> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a message. Fails if it is not legal now: with the peer's reason if the peer has aborted.
    pub async fn send(&self, message: Message) -> Result<(), PeerError> {
        self.order(|outbound| Ok((outbound.send(&message)?, ()))).await
    }

    /// Opens an object; several may be open, their chunks in any order. Fails if such an object is not legal now.
    pub async fn begin_object(&self, spec: ObjectSpec) -> Result<ObjectId, PeerError> {
        self.order(|outbound| outbound.begin_object(&spec).map(|(id, frame)| (frame, id)))
            .await
    }

    /// Sends the next bytes of an open object: any number, none included. [`CHUNK_LEN`] is the best.
    pub async fn send_chunk(&self, id: ObjectId, mut data: Bytes) -> Result<(), PeerError> {
        while !data.is_empty() {
            let chunk = data.split_to(data.len().min(MAX_FRAME_LEN));
            self.order(|outbound| Ok((outbound.chunk(id, chunk.clone())?, ())))
                .await?;
        }
        Ok(())
    }

    /// Ends an object. The peer checks its length and hash.
    pub async fn end_object(&self, id: ObjectId) -> Result<(), PeerError> {
        self.order(|outbound| Ok((outbound.end_object(id)?, ()))).await
    }

    /// Sends all that `source` gives as one object; gives its length in bytes.
    pub async fn send_object(
        &self,
        spec: ObjectSpec,
        mut source: impl AsyncRead + Unpin,
    ) -> Result<u64, PeerError> {
        let id = self.begin_object(spec).await?;
        let mut sent = 0;
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK_LEN);
            while chunk.len() < CHUNK_LEN {
                let read = source.read_buf(&mut chunk).await;
                if read.map_err(|error| PeerError::Source(Arc::new(error)))? == 0 {
                    break;
                }
            }
            if chunk.is_empty() {
                self.end_object(id).await?;
                return Ok(sent);
            }
            sent += chunk.len() as u64;
            self.send_chunk(id, chunk.freeze()).await?;
        }
    }

    /// Waits until the kernel has everything that was sent before. To be called before the last sender is dropped, if
    /// the process may end then.
    pub async fn flush(&self) -> Result<(), PeerError> {
        let (done, flushed) = oneshot::channel();
        let shared = self.now();
        let sent = shared.orders.send(Order::Flush(done)).await;
        sent.map_err(|_| shared.link.error())?;
        flushed.await.map_err(|_| shared.link.error())
    }

    /// Bytes of objects sent so far.
    pub fn object_bytes(&self) -> u64 {
        self.now().outbound().object_bytes()
    }

    /// Number of the object that was begun last on this connection; 0 before the first.
    pub fn last_object(&self) -> u32 {
        self.now().outbound().last_object()
    }

    /// The peer's node.
    pub fn node(&self) -> &str {
        &self.node
    }

    /// Takes a place in the queue, then makes the frame: frames are queued in the order in which the session made them.
    async fn order<T>(
        &self,
        make: impl FnOnce(&mut Outbound) -> Result<(Frame, T), SessionError>,
    ) -> Result<T, PeerError> {
        let shared = self.now();
        if let Some(fault) = shared.link.fault() {
            return Err(fault);
        }
        let place = shared.orders.reserve().await.map_err(|_| shared.link.error())?;
        let mut outbound = shared.outbound();
        match make(&mut outbound) {
            Ok((frame, value)) => {
                place.send(Order::Frame(frame));
                Ok(value)
            }
            Err(source) => {
                // What ended the connection says more than that the session has ended.
                let fault = matches!(source, SessionError::Failed(_))
                    .then(|| shared.link.fault())
                    .flatten();
                Err(fault.unwrap_or_else(|| PeerError::Session {
                    node: shared.link.node.clone(),
                    source,
                }))
            }
        }
    }
}

impl Shared {
    fn outbound(&self) -> MutexGuard<'_, Outbound> {
        self.outbound.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a ping as soon as there is room. Whoever sends all the time hears nothing but the answers to its pings: they must not be left out. When they
    /// were left out while the queue was full, 4 GiB of images in the freeze failed with `PeerSilent` as soon as the target took longer than ten
    /// seconds for them (a node short of memory).
    pub(super) async fn send_soon(&self, message: &Message) -> Result<(), SessionError> {
        match self.orders.reserve().await {
            Ok(place) => self.put(place, message),
            Err(_) => Ok(()),
        }
    }

    /// Sends the answer to a ping, if there is room: else what fills the queue shows that we are alive.
    pub(super) fn send_now(&self, message: &Message) -> Result<(), SessionError> {
        match self.orders.try_reserve() {
            Ok(place) => self.put(place, message),
            Err(_) => Ok(()),
        }
    }

    fn put(&self, place: mpsc::Permit<'_, Order>, message: &Message) -> Result<(), SessionError> {
        // Until the frame is in the queue: it is queued in the order in which the session made it.
        let mut outbound = self.outbound();
        place.send(Order::Frame(outbound.send(message)?));
        Ok(())
    }
}
