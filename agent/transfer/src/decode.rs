//! Bytes in any cut become frames.

use bytes::{Buf, BytesMut};
use thiserror::Error;

use crate::frame::{self, FRAME_VERSION, Frame, FrameKind, HEADER_LEN};
use crate::limits::{MAX_CONTROL_LEN, MAX_FRAME_LEN};

/// What the stream should not have held. Nothing after it can be trusted: close the connection.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Not a frame of this protocol, or of another version of it.
    #[error(
        "frame layout {0} is not {FRAME_VERSION}; both agents must be of releases that can talk to each other"
    )]
    FrameVersion(u16),
    /// A kind that does not exist.
    #[error("frame of the unknown kind {0}")]
    Kind(u16),
    /// Longer than the bound for its kind.
    #[error("frame of {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Announced length in bytes.
        len: u32,
        /// The bound in bytes.
        max: usize,
    },
    /// A data frame without data, or a control frame on an object's stream.
    #[error("frame whose stream or length does not fit its kind")]
    Shape,
    /// Payload and check do not agree.
    #[error("frame check does not match: the data was damaged on its way")]
    Check,
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame, {0} bytes into it")]
    Truncated(usize),
}

impl DecodeError {
    /// Stable name.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::FrameVersion(_) => "FrameVersion",
            Self::Kind(_) => "UnknownFrame",
            Self::TooLong { .. } => "FrameTooLong",
            Self::Shape => "MalformedFrame",
            Self::Check => "FrameDamaged",
            Self::Truncated(_) => "StreamTruncated",
        }
    }
}

struct Header {
    kind: FrameKind,
    stream: u32,
    len: usize,
    check: u32,
    head: [u8; 12],
}

/// Turns bytes into frames.
///
/// Payloads are split off the buffer, not copied. A header is judged as soon as it is there, so that a length which a
/// peer made up costs no memory.
#[derive(Default)]
pub struct Decoder {
    buffer: BytesMut,
    header: Option<Header>,
    failed: Option<DecodeError>,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes over. Pull all frames before the next call, else they pile up.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The buffer to read into (append only), with room for the rest of the frame under way, and for `read_ahead`
    /// bytes at least. Saves the copy of [`Decoder::push`].
    pub fn space(&mut self, read_ahead: usize) -> &mut BytesMut {
        let missing = self
            .header
            .as_ref()
            .map_or(HEADER_LEN, |header| header.len)
            .saturating_sub(self.buffer.len());
        // Room for the next header too: else each frame would cost a second, tiny read.
        self.buffer.reserve((missing + HEADER_LEN).max(read_ahead));
        &mut self.buffer
    }

    /// The next frame, `None` if more bytes are needed. After an error every further call gives the same error.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.advance().inspect_err(|error| {
            self.buffer = BytesMut::new();
            self.failed = Some(error.clone());
        })
    }

    /// To be called at the end of the stream: fails with [`DecodeError::Truncated`] inside a frame.
    pub fn finish(&self) -> Result<(), DecodeError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        match (&self.header, self.buffer.len()) {
            (None, 0) => Ok(()),
            (None, read) => Err(DecodeError::Truncated(read)),
            (Some(_), read) => Err(DecodeError::Truncated(HEADER_LEN + read)),
        }
    }

    fn advance(&mut self) -> Result<Option<Frame>, DecodeError> {
        let header = match self.header.take() {
            Some(header) => header,
            None if self.buffer.len() < HEADER_LEN => return Ok(None),
            None => self.take_header()?,
        };
        if self.buffer.len() < header.len {
            self.header = Some(header);
            return Ok(None);
        }
        let payload = self.buffer.split_to(header.len).freeze();
        if frame::check(&header.head, &payload) != header.check {
            return Err(DecodeError::Check);
        }
        Ok(Some(Frame {
            kind: header.kind,
            stream: header.stream,
            payload,
            check: header.check,
        }))
    }

    fn take_header(&mut self) -> Result<Header, DecodeError> {
        let mut head = [0; 12];
        head.copy_from_slice(&self.buffer[..12]);
        let len = self.buffer.get_u32_le();
        let kind = self.buffer.get_u16_le();
        let version = self.buffer.get_u16_le();
        let stream = self.buffer.get_u32_le();
        let check = self.buffer.get_u32_le();
        if version != FRAME_VERSION {
            return Err(DecodeError::FrameVersion(version));
        }
        let kind = FrameKind::from_number(kind).ok_or(DecodeError::Kind(kind))?;
        let max = match kind {
            FrameKind::Control => MAX_CONTROL_LEN,
            FrameKind::Data => MAX_FRAME_LEN,
        };
        let len = usize::try_from(len)
            .ok()
            .filter(|len| *len <= max)
            .ok_or(DecodeError::TooLong { len, max })?;
        let fits = match kind {
            FrameKind::Control => stream == 0 && len > 0,
            FrameKind::Data => stream != 0 && len > 0,
        };
        if !fits {
            return Err(DecodeError::Shape);
        }
        Ok(Header {
            kind,
            stream,
            len,
            check,
            head,
        })
    }
}
