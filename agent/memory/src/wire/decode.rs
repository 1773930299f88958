//! Batches become operations.

use crate::range::PageRange;

use super::error::WireError;
use super::format::{Codec, Header, MAX_BODY, MAX_COPIED_PAGES, MAX_ZERO_PAGES, PAGE_LEN, RawOp};

/// What is to be done with the memory of a process, named by its PID in its container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op<'a> {
    /// These pages are zero.
    Zero {
        /// Process.
        ns_pid: i32,
        /// Its pages.
        range: PageRange,
    },
    /// The pages from here on have this content.
    Data {
        /// Process.
        ns_pid: i32,
        /// Address of the first page.
        vaddr: u64,
        /// Whole pages, one at least.
        pages: &'a [u8],
    },
    /// These pages are the same as others of the container, which do not overlap them.
    Copy {
        /// Process.
        ns_pid: i32,
        /// Its pages.
        range: PageRange,
        /// Process and address of the first of the others; as many, in a row.
        from: (i32, u64),
    },
}

/// Takes batches apart. Memory: one batch.
#[derive(Default)]
pub struct Decoder {
    plain: Vec<u8>,
    zstd: Option<zstd::bulk::Decompressor<'static>>,
}

impl Decoder {
    /// A decoder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Judges a whole batch before anything of it is given out.
    ///
    /// Any bytes are allowed; what an [`super::Encoder`] does not make is an error. A changed byte inside a page is not
    /// noticed here.
    pub fn decode<'a>(&'a mut self, batch: &'a [u8]) -> Result<Received<'a>, WireError> {
        let (header, encoded) = Header::read(batch)?;
        let body = self.plain(&header, encoded)?;
        let (pages, ops) = body
            .split_at_checked(header.pages * PAGE_LEN)
            .ok_or(WireError::TooLarge("more pages than bytes"))?;
        let (mut data, mut zero, mut copied) = (0_usize, 0_u64, 0_u64);
        let mut rest = ops;
        while !rest.is_empty() {
            match RawOp::read(&mut rest)? {
                RawOp::Zero(place) => zero += u64::from(place.pages),
                RawOp::Copy(place, _) => copied += u64::from(place.pages),
                RawOp::Data(place) => {
                    data = data.saturating_add(usize::try_from(place.pages).unwrap_or(usize::MAX));
                }
            }
        }
        if data != header.pages {
            return Err(WireError::Malformed(
                "pages without a place, or places without a page",
            ));
        }
        if zero > u64::from(MAX_ZERO_PAGES) {
            return Err(WireError::TooLarge("zero pages"));
        }
        if copied > u64::from(MAX_COPIED_PAGES) {
            return Err(WireError::TooLarge("copied pages"));
        }
        Ok(Received {
            round: header.round,
            codec: header.codec,
            ops: Ops { pages, ops },
        })
    }

    fn plain<'a>(&'a mut self, header: &Header, encoded: &'a [u8]) -> Result<&'a [u8], WireError> {
        let damaged = WireError::Compression(header.codec);
        self.plain.resize(MAX_BODY, 0);
        // Exactly as long as announced: a decompressor can write no more, and must not write less.
        let to = &mut self.plain[..header.body];
        let len = match header.codec {
            Codec::None => return Ok(encoded),
            Codec::Lz4 => lz4_flex::block::decompress_into(encoded, to).ok(),
            Codec::Zstd => {
                if self.zstd.is_none() {
                    self.zstd = zstd::bulk::Decompressor::new().ok();
                }
                let zstd = self.zstd.as_mut().ok_or(damaged.clone())?;
                zstd.decompress_to_buffer(encoded, to).ok()
            }
        };
        if len != Some(header.body) {
            return Err(damaged);
        }
        Ok(&self.plain[..header.body])
    }
}

/// A batch that has been judged.
#[derive(Debug, Clone)]
pub struct Received<'a> {
    round: u32,
    codec: Codec,
    ops: Ops<'a>,
}

impl<'a> Received<'a> {
    /// Its round, from 1.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// How it was compressed.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// Its operations, in order.
    pub fn ops(&self) -> Ops<'a> {
        self.ops.clone()
    }
}

/// The operations of a batch.
#[derive(Debug, Clone)]
pub struct Ops<'a> {
    pages: &'a [u8],
    ops: &'a [u8],
}

impl<'a> Iterator for Ops<'a> {
    type Item = Op<'a>;

    fn next(&mut self) -> Option<Op<'a>> {
        // Judged before; an error cannot come.
        Some(match RawOp::read(&mut self.ops).ok()? {
            RawOp::Zero(place) => Op::Zero {
                ns_pid: place.ns_pid(),
                range: place.range(),
            },
            RawOp::Copy(place, (pid, start)) => Op::Copy {
                ns_pid: place.ns_pid(),
                range: place.range(),
                from: (i32::try_from(pid).unwrap_or(i32::MAX), start),
            },
            RawOp::Data(place) => {
                let len = usize::try_from(place.pages).unwrap_or(usize::MAX);
                let (pages, rest) = self.pages.split_at_checked(len.saturating_mul(PAGE_LEN))?;
                self.pages = rest;
                Op::Data {
                    ns_pid: place.ns_pid(),
                    vaddr: place.start,
                    pages,
                }
            }
        })
    }
}
