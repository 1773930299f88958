//! One frame: a header of 16 bytes and a payload.
//!
//! ```text
//!  0        4       6         8         12        16
//!  +--------+-------+---------+---------+---------+----------
//!  | length | kind  | version | stream  | check   | payload …    (all little-endian)
//!  +--------+-------+---------+---------+---------+----------
//! ```
//! `check` is the CRC-32 (IEEE) of the first twelve bytes and the payload. The link is authenticated by TLS already;
//! the check is there for what TLS does not see: a bug in a buffer, or memory gone bad on the way to or from it. It is
//! made once, when the frame is, and covers the time that the frame waits to be written.

use bytes::Bytes;

/// Length of a header, in bytes.
pub const HEADER_LEN: usize = 16;
/// Length of what the check of a header covers.
const HEAD_LEN: usize = 12;
/// Layout of header and payload; independent of the version of the conversation, which Hello and Welcome settle.
pub const FRAME_VERSION: u16 = 1;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// One message.
    Control,
    /// A chunk of an object.
    Data,
}

impl FrameKind {
    /// The number on the wire.
    pub(crate) fn number(self) -> u16 {
        match self {
            Self::Control => 1,
            Self::Data => 2,
        }
    }

    /// The kind with that number on the wire, if there is one.
    pub(crate) fn from_number(number: u16) -> Option<Self> {
        match number {
            1 => Some(Self::Control),
            2 => Some(Self::Data),
            _ => None,
        }
    }
}

/// One frame, as [`Frame::new`] makes it. The payload is shared, not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it carries.
    pub kind: FrameKind,
    /// The object for [`FrameKind::Data`], 0 for [`FrameKind::Control`].
    pub stream: u32,
    /// At most [`crate::MAX_FRAME_LEN`] bytes.
    pub payload: Bytes,
    /// Check of what the fields were when the frame was made.
    pub(crate) check: u32,
}

impl Frame {
    /// A frame, with its check.
    pub fn new(kind: FrameKind, stream: u32, payload: Bytes) -> Self {
        let mut frame = Self {
            kind,
            stream,
            payload,
            check: 0,
        };
        frame.check = check(&frame.head(), &frame.payload);
        frame
    }

    /// The header to be written before the payload. A frame that was changed after it was made is refused by every
    /// decoder.
    ///
    /// Frames made by a [`crate::Session`] are within bounds; of others, a length over `u32` is written as
    /// `u32::MAX`, which every decoder refuses.
    pub fn header(&self) -> [u8; HEADER_LEN] {
        let mut header = [0; HEADER_LEN];
        header[..HEAD_LEN].copy_from_slice(&self.head());
        header[HEAD_LEN..].copy_from_slice(&self.check.to_le_bytes());
        header
    }

    fn head(&self) -> [u8; HEAD_LEN] {
        let len = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let mut head = [0; HEAD_LEN];
        head[0..4].copy_from_slice(&len.to_le_bytes());
        head[4..6].copy_from_slice(&self.kind.number().to_le_bytes());
        head[6..8].copy_from_slice(&FRAME_VERSION.to_le_bytes());
        head[8..12].copy_from_slice(&self.stream.to_le_bytes());
        head
    }

    /// Header and payload in one buffer; for small frames and for tests.
    pub fn to_bytes(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.payload.len());
        bytes.extend_from_slice(&self.header());
        bytes.extend_from_slice(&self.payload);
        bytes.into()
    }
}

/// Check of a frame.
pub(crate) fn check(head: &[u8], payload: &[u8]) -> u32 {
    let mut check = crc32fast::Hasher::new();
    check.update(head);
    check.update(payload);
    check.finalize()
}
