//! Book-keeping of the objects that the peer sends: bounds, order, length and chunks.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::checks::Checks;
use crate::frame::Frame;
use crate::limits::Limits;
use crate::message::ObjectEnd;
use crate::object::{ObjectId, ObjectKind};

/// What the peer did wrong in sending an object.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ReceiveError {
    /// A chunk or end of an object that is not open.
    #[error("object {0} is not open")]
    NotOpen(u32),
    /// Numbers must count up by one.
    #[error("object {got} begins where {expected} should")]
    Numbering {
        /// Number that the peer gave.
        got: u32,
        /// Number that it should have had.
        expected: u32,
    },
    /// Two objects for one place.
    #[error("object {0} has the kind and name of an earlier one")]
    Duplicate(u32),
    /// More open objects than allowed.
    #[error("more than {0} objects are open at once")]
    TooManyOpen(usize),
    /// More objects than allowed.
    #[error("more than {0} objects in one session")]
    TooMany(usize),
    /// An object longer than allowed.
    #[error("object {id} is longer than {max} bytes")]
    TooLong {
        /// The object.
        id: u32,
        /// The bound in bytes.
        max: u64,
    },
    /// More bytes than allowed in all.
    #[error("more than {0} bytes of objects in one session")]
    SessionTooLong(u64),
    /// The bytes that came are not as many as the peer says it sent.
    #[error("object {id} has {got} bytes, {said} were sent")]
    Length {
        /// The object.
        id: u32,
        /// Bytes that came.
        got: u64,
        /// Bytes that the peer says it sent.
        said: u64,
    },
    /// The bytes that came are not those that the peer sent.
    #[error("object {0} was damaged on its way: its chunks are not those that were sent")]
    Damaged(u32),
}

impl ReceiveError {
    /// Stable name.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotOpen(_) => "ObjectNotOpen",
            Self::Numbering { .. } => "ObjectNumbering",
            Self::Duplicate(_) => "DuplicateObject",
            Self::TooManyOpen(_) => "TooManyOpenObjects",
            Self::TooMany(_) => "TooManyObjects",
            Self::TooLong { .. } => "ObjectTooLong",
            Self::SessionTooLong(_) => "SessionTooLong",
            Self::Length { .. } => "ObjectLength",
            Self::Damaged(_) => "ObjectDamaged",
        }
    }
}

pub(crate) struct Incoming {
    limits: Limits,
    last: u32,
    bytes: u64,
    open: BTreeMap<u32, (Checks, u64)>,
    seen: BTreeSet<ObjectKind>,
    /// Further ones of a kind and name that may come again.
    again: usize,
}

impl Incoming {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            last: 0,
            bytes: 0,
            open: BTreeMap::new(),
            seen: BTreeSet::new(),
            again: 0,
        }
    }

    /// An object begins; a `unique` one must be the only one of its kind and name, and counts against the bound on objects.
    pub(crate) fn begin(
        &mut self,
        id: ObjectId,
        kind: &ObjectKind,
        unique: bool,
    ) -> Result<(), ReceiveError> {
        let expected = self.last.saturating_add(1);
        if id.0 != expected {
            return Err(ReceiveError::Numbering { got: id.0, expected });
        }
        if self.seen.len() + self.again >= self.limits.objects {
            return Err(ReceiveError::TooMany(self.limits.objects));
        }
        if self.open.len() >= self.limits.open_objects {
            return Err(ReceiveError::TooManyOpen(self.limits.open_objects));
        }
        if unique && !self.seen.insert(kind.clone()) {
            if !kind.comes_in_rounds() {
                return Err(ReceiveError::Duplicate(id.0));
            }
            self.again += 1;
        }
        self.last = id.0;
        self.open.insert(id.0, (Checks::default(), 0));
        Ok(())
    }

    pub(crate) fn chunk(&mut self, frame: &Frame) -> Result<ObjectId, ReceiveError> {
        let id = frame.stream;
        let (checks, len) = self.open.get_mut(&id).ok_or(ReceiveError::NotOpen(id))?;
        *len += frame.payload.len() as u64;
        self.bytes += frame.payload.len() as u64;
        if *len > self.limits.object_bytes {
            return Err(ReceiveError::TooLong {
                id,
                max: self.limits.object_bytes,
            });
        }
        if self.bytes > self.limits.session_bytes {
            return Err(ReceiveError::SessionTooLong(self.limits.session_bytes));
        }
        checks.add(frame);
        Ok(ObjectId(id))
    }

    /// The object's length, once length and chunks are as the peer says.
    pub(crate) fn end(&mut self, end: &ObjectEnd) -> Result<u64, ReceiveError> {
        let (checks, len) = self.open.remove(&end.id).ok_or(ReceiveError::NotOpen(end.id))?;
        if len != end.len {
            return Err(ReceiveError::Length {
                id: end.id,
                got: len,
                said: end.len,
            });
        }
        if checks.finish().as_slice() != end.checks.as_slice() {
            return Err(ReceiveError::Damaged(end.id));
        }
        Ok(len)
    }

    /// Bytes of objects received in this session.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}
