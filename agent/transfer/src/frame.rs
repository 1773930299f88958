//! One frame: a header of 16 bytes and a payload.
//!
//! ```text
//!  0        4       6         8         12        16
//!  +--------+-------+---------+---------+---------+----------
//!  | length | kind  | version | stream  | check   | payload …    (all little-endian)
//!  +--------+-------+---------+---------+---------+----------
//! ```
//! `check` is the CRC-32 (IEEE) of the first twelve bytes and the payload. The link is authenticated by TLS already;
//! the check is there for what TLS does not see: a bug in a buffer, or memory gone bad on the way to or from it.

use bytes::Bytes;

/// Length of a header, in bytes.
pub const HEADER_LEN: usize = 16;
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

/// One frame. The payload is shared, not copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it carries.
    pub kind: FrameKind,
    /// The object for [`FrameKind::Data`], 0 for [`FrameKind::Control`].
    pub stream: u32,
    /// At most [`crate::MAX_FRAME_LEN`] bytes.
    pub payload: Bytes,
}

impl Frame {
    /// The header to be written before the payload.
    ///
    /// Frames made by a [`crate::Session`] are within bounds; of others, a length over `u32` is written as
    /// `u32::MAX`, which every decoder refuses.
    pub fn header(&self) -> [u8; HEADER_LEN] {
        let len = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let mut header = [0; HEADER_LEN];
        header[0..4].copy_from_slice(&len.to_le_bytes());
        header[4..6].copy_from_slice(&self.kind.number().to_le_bytes());
        header[6..8].copy_from_slice(&FRAME_VERSION.to_le_bytes());
        header[8..12].copy_from_slice(&self.stream.to_le_bytes());
        let check = check(&header[..12], &self.payload);
        header[12..].copy_from_slice(&check.to_le_bytes());
        header
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
