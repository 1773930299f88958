//! The data of a regular file, hole by hole.

use std::io::Write;
use std::os::fd::AsFd;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

use crate::blocks::{self, Blocks, Comparing, Hashing};
use crate::error::{Error, Result};
use crate::frame::StreamWriter;
use crate::limit;

/// Calls `each` with offset and bytes of every piece of data below `size`; holes are left out. No piece lies across a
/// multiple of [`limit::DATA`]: where pieces are cut does not depend on where data begins.
///
/// Gives false if the file turned out shorter than `size`. Errors: [`Error::Read`], and those of `each`.
pub(crate) fn pieces(
    file: impl AsFd,
    path: &[u8],
    size: u64,
    mut each: impl FnMut(u64, &[u8]) -> Result<()>,
) -> Result<bool> {
    const DATA: u64 = limit::DATA as u64;
    let capacity = usize::try_from(size).unwrap_or(limit::DATA).min(limit::DATA);
    let mut buffer = vec![0; capacity];
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(&file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // No data from here to the end.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(Error::read("find the data of", path, error)),
        };
        if start >= size {
            break;
        }
        let hole = rustix::fs::seek(&file, SeekFrom::Hole(start));
        let end = match hole {
            Ok(end) => end.min(size),
            Err(Errno::NXIO) => return Ok(false),
            Err(error) => return Err(Error::read("find the holes of", path, error)),
        };
        at = start;
        while at < end {
            let cut = (at / DATA + 1).saturating_mul(DATA).min(end);
            let want = usize::try_from(cut - at).unwrap_or(capacity).min(capacity);
            let got = match rustix::io::pread(&file, &mut buffer[..want], at) {
                Ok(0) => return Ok(false),
                Ok(got) => got,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(Error::read("read", path, error)),
            };
            each(at, &buffer[..got])?;
            at += got as u64;
        }
    }
    Ok(true)
}

/// A hash of size, data and holes, for trees whose stamps do not tell.
pub(crate) struct Fingerprint(blake3::Hasher);

impl Fingerprint {
    pub(crate) fn new(size: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&size.to_le_bytes());
        Self(hasher)
    }

    pub(crate) fn add(&mut self, offset: u64, bytes: &[u8]) {
        self.0.update(&offset.to_le_bytes());
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    pub(crate) fn done(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

/// What of a file's content is remembered, to be compared with later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Print {
    /// Of a small file, where stamps do not tell.
    Whole([u8; 32]),
    /// Of a big file.
    Blocks(Blocks),
}

/// Takes the print of a file while it is read; `None` if nothing is to be remembered of it.
enum Taking {
    Nothing,
    Whole(Fingerprint),
    Blocks(Hashing),
}

impl Taking {
    fn of(size: u64, stamps_tell: bool) -> Self {
        if size >= blocks::BIG {
            Self::Blocks(Hashing::new(size))
        } else if stamps_tell {
            Self::Nothing
        } else {
            Self::Whole(Fingerprint::new(size))
        }
    }

    fn add(&mut self, offset: u64, bytes: &[u8]) {
        match self {
            Self::Nothing => {}
            Self::Whole(print) => print.add(offset, bytes),
            Self::Blocks(blocks) => blocks.add(offset, bytes),
        }
    }

    fn done(self) -> Option<Print> {
        match self {
            Self::Nothing => None,
            Self::Whole(print) => Some(Print::Whole(print.done())),
            Self::Blocks(blocks) => Some(Print::Blocks(blocks.done())),
        }
    }
}

/// Sends the data; gives whether the file was as long as `size`, and what is to be remembered of it.
pub(crate) fn send<W: Write>(
    file: impl AsFd,
    path: &[u8],
    size: u64,
    stamps_tell: bool,
    out: &mut StreamWriter<W>,
) -> Result<(bool, Option<Print>)> {
    let mut print = Taking::of(size, stamps_tell);
    let whole = pieces(file, path, size, |offset, bytes| {
        print.add(offset, bytes);
        out.data(offset, bytes)
    })?;
    Ok((whole, print.done()))
}

/// Sends the blocks that differ from what they were; else as [`send`].
pub(crate) fn send_changes<W: Write>(
    file: impl AsFd,
    path: &[u8],
    size: u64,
    was: &Blocks,
    out: &mut StreamWriter<W>,
) -> Result<(bool, Option<Print>)> {
    let mut comparing = Comparing::new(was, size, out);
    let whole = pieces(file, path, size, |offset, bytes| comparing.add(offset, bytes))?;
    Ok((whole, Some(Print::Blocks(comparing.done()?))))
}

/// The fingerprint alone.
pub(crate) fn fingerprint(file: impl AsFd, path: &[u8], size: u64) -> Result<[u8; 32]> {
    let mut print = Fingerprint::new(size);
    pieces(file, path, size, |offset, bytes| {
        print.add(offset, bytes);
        Ok(())
    })?;
    Ok(print.done())
}
