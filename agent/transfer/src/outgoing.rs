//! Book-keeping of the objects that this side sends.

use std::collections::BTreeMap;

use bytes::Bytes;
use thiserror::Error;

use crate::checks::Checks;
use crate::frame::{Frame, FrameKind};
use crate::limits::MAX_FRAME_LEN;
use crate::message::ObjectEnd;
use crate::object::ObjectId;

/// A mistake of this side in sending an object.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SendError {
    /// The object was never begun, or has ended.
    #[error("object {0} is not open")]
    NotOpen(u32),
    /// A chunk must have 1 to [`MAX_FRAME_LEN`] bytes.
    #[error("a chunk of {0} bytes, allowed are 1 to {MAX_FRAME_LEN}")]
    ChunkLength(usize),
    /// All numbers of the session are used up.
    #[error("no further object can be sent in this session")]
    Exhausted,
}

impl SendError {
    /// Stable name.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotOpen(_) => "ObjectNotOpen",
            Self::ChunkLength(_) => "ChunkLength",
            Self::Exhausted => "ObjectsExhausted",
        }
    }
}

#[derive(Default)]
pub(crate) struct Outgoing {
    last: u32,
    open: BTreeMap<u32, (Checks, u64)>,
    sent: u64,
}

impl Outgoing {
    /// Number for the next object.
    pub(crate) fn next_id(&self) -> Result<ObjectId, SendError> {
        self.last.checked_add(1).map(ObjectId).ok_or(SendError::Exhausted)
    }

    pub(crate) fn begin(&mut self, id: ObjectId) {
        self.last = id.0;
        self.open.insert(id.0, (Checks::default(), 0));
    }

    /// The frame of an object's next chunk.
    pub(crate) fn chunk(&mut self, id: ObjectId, chunk: Bytes) -> Result<Frame, SendError> {
        if chunk.is_empty() || chunk.len() > MAX_FRAME_LEN {
            return Err(SendError::ChunkLength(chunk.len()));
        }
        let (checks, len) = self.open.get_mut(&id.0).ok_or(SendError::NotOpen(id.0))?;
        *len += chunk.len() as u64;
        self.sent += chunk.len() as u64;
        let frame = Frame::new(FrameKind::Data, id.0, chunk);
        checks.add(&frame);
        Ok(frame)
    }

    /// What to say at the end; the object stays open until [`Outgoing::end`].
    pub(crate) fn ending(&self, id: ObjectId) -> Result<ObjectEnd, SendError> {
        let (checks, len) = self.open.get(&id.0).ok_or(SendError::NotOpen(id.0))?;
        Ok(ObjectEnd {
            id: id.0,
            len: *len,
            checks: checks.finish().to_vec(),
        })
    }

    pub(crate) fn end(&mut self, id: ObjectId) {
        self.open.remove(&id.0);
    }

    /// Number of the object that was begun last; 0 before the first.
    pub(crate) fn last(&self) -> u32 {
        self.last
    }

    /// Bytes of objects sent in this session.
    pub(crate) fn bytes(&self) -> u64 {
        self.sent
    }
}
