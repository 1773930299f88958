//! Hashes of a big file's blocks, so that a change to one of them does not send all.

use std::io::Write;

use crate::error::Result;
use crate::frame::StreamWriter;
use crate::limit;

/// Files from this size on are known by their blocks, in bytes; below it a file is sent again as a whole.
pub(crate) const BIG: u64 = 1 << 20;
/// Smallest block, in bytes.
const SMALLEST: u64 = 64 << 10;
/// Largest block, in bytes: no piece of data lies across two of them.
const LARGEST: u64 = limit::DATA as u64;
/// Most blocks of a file as long as they can grow instead.
const MOST: u64 = 65_536;

/// What is remembered of a big file: its size, and a hash of each block's data and holes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blocks {
    size: u64,
    block: u64,
    hashes: Box<[[u8; 16]]>,
}

impl Blocks {
    /// True if a file of `size` bytes now has blocks of the same length, and so can be compared.
    pub(crate) fn compares(&self, size: u64) -> bool {
        self.block == block_of(size)
    }

    fn differs(&self, index: usize, end: u64, hash: &[u8; 16]) -> bool {
        // The last block is another one when the file has grown or shrunk within it.
        let start = index as u64 * self.block;
        self.hashes.get(index) != Some(hash) || end != (start + self.block).min(self.size)
    }
}

/// Length of the blocks of a file of that size: the same for all files that are not huge.
fn block_of(size: u64) -> u64 {
    size.div_ceil(MOST).clamp(SMALLEST, LARGEST).next_power_of_two()
}

/// Takes the pieces of a file in their order.
pub(crate) struct Hashing {
    size: u64,
    block: u64,
    hashes: Vec<[u8; 16]>,
    now: blake3::Hasher,
}

impl Hashing {
    pub(crate) fn new(size: u64) -> Self {
        Self {
            size,
            block: block_of(size),
            hashes: Vec::new(),
            now: blake3::Hasher::new(),
        }
    }

    /// The next piece of data; holes are not told.
    pub(crate) fn add(&mut self, offset: u64, bytes: &[u8]) {
        for (offset, piece) in cut(self.block, offset, bytes) {
            while self.open() < offset / self.block {
                self.close();
            }
            self.update(offset, piece);
        }
    }

    pub(crate) fn done(mut self) -> Blocks {
        while self.open() < self.blocks() {
            self.close();
        }
        Blocks {
            size: self.size,
            block: self.block,
            hashes: self.hashes.into(),
        }
    }

    fn blocks(&self) -> u64 {
        self.size.div_ceil(self.block)
    }

    /// Number of the block that is being hashed.
    fn open(&self) -> u64 {
        self.hashes.len() as u64
    }

    fn update(&mut self, offset: u64, piece: &[u8]) {
        self.now.update(&offset.to_le_bytes());
        self.now.update(&(piece.len() as u64).to_le_bytes());
        self.now.update(piece);
    }

    /// Ends the block that is being hashed; one without data is a hole.
    fn close(&mut self) {
        let mut hash = [0; 16];
        self.now.finalize_xof().fill(&mut hash);
        self.hashes.push(hash);
        self.now.reset();
    }
}

/// Cuts a piece of data at the ends of blocks.
fn cut(block: u64, mut offset: u64, mut bytes: &[u8]) -> impl Iterator<Item = (u64, &[u8])> {
    std::iter::from_fn(move || {
        let left = block - offset % block;
        let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let (piece, rest) = bytes.split_at(here);
        let at = offset;
        offset += piece.len() as u64;
        bytes = rest;
        (!piece.is_empty()).then_some((at, piece))
    })
}

/// Takes the pieces of a file as it is now, and sends those blocks that are not as they were. What is hashed is what is sent, whoever
/// writes to the file meanwhile.
pub(crate) struct Comparing<'a, W> {
    was: &'a Blocks,
    now: Hashing,
    out: &'a mut StreamWriter<W>,
    /// Data of the block that is being hashed, and where its pieces begin.
    data: Vec<u8>,
    pieces: Vec<(u64, usize)>,
}

impl<'a, W: Write> Comparing<'a, W> {
    /// `size` is the file's size now.
    pub(crate) fn new(was: &'a Blocks, size: u64, out: &'a mut StreamWriter<W>) -> Self {
        Self {
            was,
            now: Hashing::new(size),
            out,
            data: Vec::new(),
            pieces: Vec::new(),
        }
    }

    /// The next piece of data; holes are not told.
    pub(crate) fn add(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        for (offset, piece) in cut(self.now.block, offset, bytes) {
            while self.now.open() < offset / self.now.block {
                self.close()?;
            }
            self.now.update(offset, piece);
            self.pieces.push((offset, piece.len()));
            self.data.extend_from_slice(piece);
        }
        Ok(())
    }

    /// The file is at its end; gives what is to be remembered of it.
    pub(crate) fn done(mut self) -> Result<Blocks> {
        while self.now.open() < self.now.blocks() {
            self.close()?;
        }
        Ok(self.now.done())
    }

    fn close(&mut self) -> Result<()> {
        let index = self.now.hashes.len();
        self.now.close();
        let start = index as u64 * self.now.block;
        let end = (start + self.now.block).min(self.now.size);
        let differs = self
            .now
            .hashes
            .last()
            .is_some_and(|hash| self.was.differs(index, end, hash));
        if differs {
            if self.data.len() as u64 != end - start {
                self.out.clear(start, end - start)?;
            }
            let mut rest = self.data.as_slice();
            for &(offset, length) in &self.pieces {
                let (piece, after) = rest.split_at(length);
                self.out.data(offset, piece)?;
                rest = after;
            }
        }
        self.data.clear();
        self.pieces.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Record, StreamReader};
    use crate::wire::{Entry, Header, Kind};

    const S: u64 = SMALLEST;

    fn blocks(size: u64, pieces: &[(u64, &[u8])]) -> Blocks {
        let mut hashing = Hashing::new(size);
        for (offset, bytes) in pieces {
            hashing.add(*offset, bytes);
        }
        hashing.done()
    }

    /// What is sent, as (is data, offset, length).
    fn sent(was: &Blocks, size: u64, pieces: &[(u64, &[u8])]) -> Vec<(bool, u64, u64)> {
        let mut stream = Vec::new();
        let mut out = StreamWriter::begin(&mut stream, &Header::default()).unwrap();
        out.entry(&Entry::bare(Kind::File, b"f", b"")).unwrap();
        let mut comparing = Comparing::new(was, size, &mut out);
        for (offset, bytes) in pieces {
            comparing.add(*offset, bytes).unwrap();
        }
        assert_eq!(comparing.done().unwrap(), blocks(size, pieces));
        out.end().unwrap();
        let mut records = Vec::new();
        let (mut reader, _) = StreamReader::begin(stream.as_slice()).unwrap();
        loop {
            match reader.next().unwrap() {
                Record::Clear { offset, length } => records.push((false, offset, length)),
                Record::Data { offset, bytes } => records.push((true, offset, bytes.len() as u64)),
                Record::End(_) => return records,
                _ => {}
            }
        }
    }

    #[test]
    fn only_what_differs_is_sent() {
        let size = 40 * S + 5;
        let full = vec![1; usize::try_from(2 * S).unwrap()];
        let was = blocks(size, &[(4 * S, &full), (7 * S, &[1; 100])]);
        assert_eq!(sent(&was, size, &[(4 * S, &full), (7 * S, &[1; 100])]), []);
        let mut other = full.clone();
        other[0] = 2;
        let now: [(u64, &[u8]); 4] = [
            (S - 1, &[3]),
            (4 * S, &other),
            (7 * S, &[1; 99]),
            (size - 1, &[3]),
        ];
        let wanted = [
            (false, 0, S),
            (true, S - 1, 1),
            // Without holes nothing has to be cleared, and the block beside it is as it was.
            (true, 4 * S, S),
            (false, 7 * S, S),
            (true, 7 * S, 99),
            (false, 40 * S, 5),
            (true, size - 1, 1),
        ];
        assert_eq!(sent(&was, size, &now), wanted);
        // Data that is gone leaves a hole.
        assert_eq!(sent(&was, size, &[(4 * S, &full)]), [(false, 7 * S, S)]);
    }

    #[test]
    fn growing_and_shrinking_touch_the_blocks_at_the_end() {
        let was = blocks(20 * S + 5, &[]);
        let grown = [(false, 20 * S, S), (false, 21 * S, S)];
        assert_eq!(sent(&was, 22 * S, &[]), grown);
        assert_eq!(sent(&was, 18 * S + 1, &[]), [(false, 18 * S, 1)]);
        assert_eq!(sent(&was, 18 * S, &[]), [], "only shorter");
    }

    #[test]
    fn blocks_grow_until_pieces_would_be_too_long() {
        assert_eq!(block_of(BIG), S);
        assert_eq!(block_of(4 << 30), S);
        assert_eq!(block_of((4 << 30) + 1), 2 * S);
        assert_eq!(block_of(i64::MAX.unsigned_abs()), LARGEST);
        assert!(!blocks(4 << 30, &[]).compares((4 << 30) + 1));
    }
}
