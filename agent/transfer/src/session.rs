//! One conversation of two agents: what is legal when, and the objects under way.
//!
//! Both sides run the same rules over what they send and what they receive, so a mistake is found where it is made. A
//! [`Session`] splits into the half that sends and the half that receives; both may be used from different threads.

mod conversation;
mod error;
mod lane;
mod migrate;
mod query;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::frame::{Frame, FrameKind};
use crate::incoming::Incoming;
use crate::limits::Limits;
use crate::message::Message;
use crate::object::{ObjectId, ObjectSpec};
use crate::outgoing::Outgoing;
use crate::validate;
use conversation::Conversation;
pub use error::SessionError;

/// One of the two ends of a session. In a migration the dialer is the source and the acceptor the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Party {
    /// Who opened the connection and says Hello.
    Dialer,
    /// Who was called.
    Acceptor,
}

impl Party {
    /// The other end.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Dialer => Self::Acceptor,
            Self::Acceptor => Self::Dialer,
        }
    }
}

/// What came from the peer.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A message.
    Message(Message),
    /// An object begins.
    ObjectStart {
        /// Its number.
        id: ObjectId,
        /// What it is.
        spec: ObjectSpec,
    },
    /// The next bytes of an object.
    Chunk {
        /// The object.
        id: ObjectId,
        /// Its next bytes.
        data: Bytes,
    },
    /// An object is complete; its length and hash are as sent.
    ObjectEnd {
        /// The object.
        id: ObjectId,
        /// Its length in bytes.
        len: u64,
    },
    /// Something that crossed an Abort on its way and means nothing any more.
    Ignored,
}

/// One conversation, at its beginning.
pub struct Session {
    outbound: Outbound,
    inbound: Inbound,
}

impl Session {
    /// The side of `party`. `limits` bound what the peer may send.
    pub fn new(party: Party, limits: Limits) -> Self {
        let shared = Shared(Arc::new(Mutex::new(Conversation::new(party))));
        Self {
            outbound: Outbound {
                shared: shared.clone(),
                objects: Outgoing::default(),
            },
            inbound: Inbound {
                shared,
                objects: Incoming::new(limits),
            },
        }
    }

    /// The two halves.
    pub fn split(self) -> (Outbound, Inbound) {
        (self.outbound, self.inbound)
    }
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Conversation>>);

impl Shared {
    fn with<T>(&self, act: impl FnOnce(&mut Conversation) -> T) -> T {
        // The conversation changes in single steps: it is whole also if another thread panicked while it held the lock.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The sending half. The frames that it gives must reach the peer in the order in which they were given.
pub struct Outbound {
    shared: Shared,
    objects: Outgoing,
}

impl Outbound {
    /// The frame of a message. Fails if the message is out of bounds or not legal now; the session is then as before.
    ///
    /// `ObjectStart` and `ObjectEnd` are refused here: see [`Outbound::begin_object`] and [`Outbound::end_object`].
    pub fn send(&mut self, message: &Message) -> Result<Frame, SessionError> {
        if matches!(message, Message::ObjectStart(_) | Message::ObjectEnd(_)) {
            return Err(SessionError::ByHand {
                message: message.name(),
            });
        }
        self.control(message)
    }

    /// Opens an object; several may be open. Fails if such an object is not legal now.
    pub fn begin_object(&mut self, spec: &ObjectSpec) -> Result<(ObjectId, Frame), SessionError> {
        let id = self.objects.next_id().map_err(SessionError::Sending)?;
        let frame = self.control(&Message::ObjectStart(spec.to_wire(id)))?;
        self.objects.begin(id);
        Ok((id, frame))
    }

    /// The next bytes of an open object, 1 to [`crate::MAX_FRAME_LEN`]; the payload is shared, not copied.
    pub fn chunk(&mut self, id: ObjectId, data: Bytes) -> Result<Frame, SessionError> {
        self.shared.with(|talk| talk.may_send_chunk())?;
        self.objects.chunk(id, data).map_err(SessionError::Sending)
    }

    /// Ends an object.
    pub fn end_object(&mut self, id: ObjectId) -> Result<Frame, SessionError> {
        let end = self.objects.ending(id).map_err(SessionError::Sending)?;
        let frame = self.control(&Message::ObjectEnd(end))?;
        self.objects.end(id);
        Ok(frame)
    }

    /// Bytes of objects sent so far.
    pub fn object_bytes(&self) -> u64 {
        self.objects.bytes()
    }

    /// Number of the object that was begun last; 0 before the first.
    pub fn last_object(&self) -> u32 {
        self.objects.last()
    }

    fn control(&mut self, message: &Message) -> Result<Frame, SessionError> {
        let payload = validate::encode(message).map_err(SessionError::Message)?;
        self.shared.with(|talk| talk.send(message))?;
        Ok(Frame::new(FrameKind::Control, 0, payload.into()))
    }
}

/// The receiving half.
pub struct Inbound {
    shared: Shared,
    objects: Incoming,
}

impl Inbound {
    /// What a frame of the peer means. After an error the session is at its end: close the connection.
    pub fn receive(&mut self, frame: Frame) -> Result<Event, SessionError> {
        if let Some(error) = self.shared.with(|talk| talk.failure()) {
            return Err(error);
        }
        self.interpret(frame)
            .inspect_err(|error| self.shared.with(|talk| talk.fail(error)))
    }

    /// Bytes of objects received so far.
    pub fn object_bytes(&self) -> u64 {
        self.objects.bytes()
    }

    /// True once nothing more is to come: refused, released, or aborted and agreed.
    pub fn is_over(&self) -> bool {
        self.shared.with(|talk| talk.is_over())
    }

    fn interpret(&mut self, frame: Frame) -> Result<Event, SessionError> {
        match frame.kind {
            FrameKind::Data => {
                if !self.shared.with(|talk| talk.heeds_objects())? {
                    return Ok(Event::Ignored);
                }
                let id = self.objects.chunk(&frame).map_err(SessionError::Receiving)?;
                Ok(Event::Chunk {
                    id,
                    data: frame.payload,
                })
            }
            FrameKind::Control => {
                let message = validate::decode(&frame.payload).map_err(SessionError::Message)?;
                if !self.shared.with(|talk| talk.receive(&message))? {
                    return Ok(Event::Ignored);
                }
                self.event(message)
            }
        }
    }

    fn event(&mut self, message: Message) -> Result<Event, SessionError> {
        match message {
            Message::ObjectStart(start) => {
                let (id, spec) = ObjectSpec::from_wire(&start)
                    .map_err(|error| SessionError::Message(validate::MessageError::Object(error)))?;
                let unique = !self.shared.with(|talk| talk.is_lane());
                self.objects
                    .begin(id, &spec.kind, unique)
                    .map_err(SessionError::Receiving)?;
                Ok(Event::ObjectStart { id, spec })
            }
            Message::ObjectEnd(end) => {
                let len = self.objects.end(&end).map_err(SessionError::Receiving)?;
                Ok(Event::ObjectEnd {
                    id: ObjectId(end.id),
                    len,
                })
            }
            message => Ok(Event::Message(message)),
        }
    }
}
