//! Layout of batches, and every bound on them. The picture is in [`super`].

use std::fmt;

use super::error::WireError;
use crate::range::{PAGE, PageRange};

/// Longest batch, header included, before and after compression; in bytes. One chunk of the session.
pub const MAX_BATCH: usize = 256 << 10;
/// Most pages that the copies of one batch may name: bounds the work that few bytes can ask for.
pub const MAX_COPIED_PAGES: u32 = 1 << 14;
/// Most pages that the zeros of one batch may name.
pub const MAX_ZERO_PAGES: u32 = 1 << 20;
/// End of the addresses that a process can have: 56 bits on x86-64 with five levels of page tables, less elsewhere
/// (kernel: Documentation/arch/x86/x86_64/5level-paging.rst).
pub const USER_END: u64 = 1 << 56;
/// Largest PID (`PID_MAX_LIMIT`, kernel: include/linux/threads.h).
pub const MAX_PID: u32 = 1 << 22;

pub(super) const PAGE_LEN: usize = 4096;
pub(super) const HEADER: usize = 20;
pub(super) const MAX_BODY: usize = MAX_BATCH - HEADER;
pub(super) const MAX_OP: usize = 29;
const MAGIC: [u8; 2] = *b"GM";
const VERSION: u8 = 1;

/// How the body of a batch is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Codec {
    /// Not at all.
    None,
    /// LZ4 block.
    Lz4,
    /// Zstandard, level 1.
    Zstd,
}

impl Codec {
    /// All of them, the cheapest first.
    pub const ALL: [Self; 3] = [Self::None, Self::Lz4, Self::Zstd];

    /// Place in [`Codec::ALL`], and number on the wire.
    pub(super) fn number(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Lz4 => 1,
            Self::Zstd => 2,
        }
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::None => "none",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

pub(super) struct Header {
    pub(super) codec: Codec,
    pub(super) round: u32,
    pub(super) pages: usize,
    pub(super) body: usize,
    pub(super) encoded: usize,
}

impl Header {
    pub(super) fn write(&self, to: &mut [u8; HEADER]) {
        // Lengths are under MAX_BATCH.
        let number = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
        to[0..2].copy_from_slice(&MAGIC);
        to[2] = VERSION;
        to[3] = self.codec.number();
        to[4..8].copy_from_slice(&self.round.to_le_bytes());
        to[8..12].copy_from_slice(&number(self.pages));
        to[12..16].copy_from_slice(&number(self.body));
        to[16..20].copy_from_slice(&number(self.encoded));
    }

    /// Reads and judges the header of `batch`; gives the encoded body too.
    pub(super) fn read(batch: &[u8]) -> Result<(Self, &[u8]), WireError> {
        let Some((head, encoded)) = batch.split_first_chunk::<HEADER>() else {
            return Err(WireError::Length {
                said: HEADER,
                got: batch.len(),
            });
        };
        if head[0..2] != MAGIC {
            return Err(WireError::Magic);
        }
        if head[2] != VERSION {
            return Err(WireError::Version(head[2]));
        }
        let mut fields = &head[4..];
        let mut number = || take_u32(&mut fields).unwrap_or(u32::MAX);
        let round = number();
        let mut length = || usize::try_from(number()).unwrap_or(usize::MAX);
        let header = Self {
            codec: Codec::from_number(head[3]).ok_or(WireError::Codec(head[3]))?,
            round,
            pages: length(),
            body: length(),
            encoded: length(),
        };
        if header.body > MAX_BODY || header.encoded > MAX_BODY {
            return Err(WireError::TooLarge("length"));
        }
        if header.pages.saturating_mul(PAGE_LEN) > header.body {
            return Err(WireError::TooLarge("more pages than bytes"));
        }
        if header.encoded != encoded.len() {
            return Err(WireError::Length {
                said: header.encoded,
                got: encoded.len(),
            });
        }
        if header.codec == Codec::None && header.encoded != header.body {
            return Err(WireError::Length {
                said: header.body,
                got: header.encoded,
            });
        }
        Ok((header, encoded))
    }
}

/// Pages of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pid: u32,
    pub(super) start: u64,
    pub(super) pages: u32,
}

impl Place {
    pub(super) fn end(&self) -> u64 {
        self.start.saturating_add(u64::from(self.pages) * PAGE)
    }

    /// The PID as programs have it; checked to fit when the place was made.
    pub(super) fn ns_pid(&self) -> i32 {
        i32::try_from(self.pid).unwrap_or(i32::MAX)
    }

    pub(super) fn range(&self) -> PageRange {
        PageRange {
            start: self.start,
            pages: u64::from(self.pages),
        }
    }

    fn check(&self) -> Result<(), WireError> {
        if !(1..=MAX_PID).contains(&self.pid) {
            return Err(WireError::Pid(self.pid));
        }
        if self.pages == 0 || !self.start.is_multiple_of(PAGE) || self.end() > USER_END {
            return Err(WireError::Address {
                start: self.start,
                pages: self.pages,
            });
        }
        Ok(())
    }
}

/// An operation as it is in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RawOp {
    Zero(Place),
    Data(Place),
    Copy(Place, (u32, u64)),
}

impl RawOp {
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        let (kind, place, from) = match self {
            Self::Zero(place) => (1, place, None),
            Self::Data(place) => (2, place, None),
            Self::Copy(place, from) => (3, place, Some(from)),
        };
        to.push(kind);
        to.extend_from_slice(&place.pid.to_le_bytes());
        to.extend_from_slice(&place.start.to_le_bytes());
        to.extend_from_slice(&place.pages.to_le_bytes());
        if let Some((pid, start)) = from {
            to.extend_from_slice(&pid.to_le_bytes());
            to.extend_from_slice(&start.to_le_bytes());
        }
    }

    /// Takes the next operation off `bytes`, which is not empty, and judges it.
    pub(super) fn read(bytes: &mut &[u8]) -> Result<Self, WireError> {
        const CUT: WireError = WireError::Malformed("it is cut off");
        let (kind, rest) = bytes.split_first().ok_or(CUT)?;
        *bytes = rest;
        let place = Place {
            pid: take_u32(bytes).ok_or(CUT)?,
            start: take_u64(bytes).ok_or(CUT)?,
            pages: take_u32(bytes).ok_or(CUT)?,
        };
        place.check()?;
        match kind {
            1 => Ok(Self::Zero(place)),
            2 => Ok(Self::Data(place)),
            3 => {
                let from = Place {
                    pid: take_u32(bytes).ok_or(CUT)?,
                    start: take_u64(bytes).ok_or(CUT)?,
                    pages: place.pages,
                };
                from.check()?;
                if from.pid == place.pid && from.start < place.end() && place.start < from.end() {
                    return Err(WireError::Malformed("a copy onto itself"));
                }
                Ok(Self::Copy(place, (from.pid, from.start)))
            }
            _ => Err(WireError::Malformed("unknown kind")),
        }
    }
}

fn take_u32(bytes: &mut &[u8]) -> Option<u32> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u32::from_le_bytes(*number))
}

fn take_u64(bytes: &mut &[u8]) -> Option<u64> {
    let (number, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*number))
}
