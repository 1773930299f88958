//! Records of the stream: a magic and version, then `tag (1) | length (4, little endian) | payload`, ended by a record with
//! the blake3 hash of all before it.

use std::io::{self, Read, Write};

use prost::Message;

use crate::error::{Error, Result};
use crate::limit;
use crate::wire::{End, Entry, Header};

const MAGIC: &[u8; 8] = b"GWTFILES";
const VERSION: u16 = 2;

const TAG_HEADER: u8 = 1;
const TAG_ENTRY: u8 = 2;
const TAG_DATA: u8 = 3;
const TAG_FILE_END: u8 = 4;
const TAG_END: u8 = 5;
const TAG_CLEAR: u8 = 6;

/// Bytes gathered before they are hashed and written.
const GATHER: usize = 256 * 1024;

/// Writes records.
pub(crate) struct StreamWriter<W> {
    inner: W,
    gathered: Vec<u8>,
    hash: blake3::Hasher,
    totals: End,
}

impl<W: Write> StreamWriter<W> {
    /// Begins a stream.
    pub(crate) fn begin(inner: W, header: &Header) -> Result<Self> {
        let gathered = Vec::with_capacity(2 * GATHER);
        let mut this = Self {
            inner,
            gathered,
            hash: blake3::Hasher::new(),
            totals: End::default(),
        };
        this.gathered.extend_from_slice(MAGIC);
        this.gathered.extend_from_slice(&VERSION.to_le_bytes());
        this.record(TAG_HEADER, &[&header.encode_to_vec()])?;
        Ok(this)
    }

    /// How many entries have been written.
    pub(crate) fn entries(&self) -> u64 {
        self.totals.entries
    }

    pub(crate) fn entry(&mut self, entry: &Entry) -> Result<()> {
        self.totals.entries += 1;
        self.record(TAG_ENTRY, &[&entry.encode_to_vec()])
    }

    /// A piece of the current file, at most [`limit::DATA`] bytes.
    pub(crate) fn data(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.totals.bytes += bytes.len() as u64;
        self.record(TAG_DATA, &[&offset.to_le_bytes(), bytes])
    }

    /// Nothing is in this range of the current file any more, which the target keeps.
    pub(crate) fn clear(&mut self, offset: u64, length: u64) -> Result<()> {
        self.record(TAG_CLEAR, &[&offset.to_le_bytes(), &length.to_le_bytes()])
    }

    pub(crate) fn file_end(&mut self) -> Result<()> {
        self.record(TAG_FILE_END, &[])
    }

    /// Ends the stream and gives its hash.
    pub(crate) fn end(mut self) -> Result<([u8; 32], End)> {
        let totals = self.totals;
        self.record(TAG_END, &[&totals.encode_to_vec()])?;
        self.flush()?;
        let hash = *self.hash.finalize().as_bytes();
        self.inner
            .write_all(&hash)
            .and_then(|()| self.inner.flush())
            .map_err(Error::Stream)?;
        Ok((hash, totals))
    }

    fn record(&mut self, tag: u8, parts: &[&[u8]]) -> Result<()> {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let length = u32::try_from(length).map_err(|_| Error::Corrupt("record too long to be written"))?;
        self.gathered.push(tag);
        self.gathered.extend_from_slice(&length.to_le_bytes());
        for part in parts {
            self.gathered.extend_from_slice(part);
        }
        if self.gathered.len() >= GATHER {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> Result<()> {
        self.hash.update(&self.gathered);
        self.inner.write_all(&self.gathered).map_err(Error::Stream)?;
        self.gathered.clear();
        Ok(())
    }
}

/// One record.
#[derive(Debug)]
pub(crate) enum Record<'a> {
    Entry(Box<Entry>),
    Data {
        offset: u64,
        bytes: &'a [u8],
    },
    /// A range of the current file that becomes a hole; only of a file that is kept.
    Clear {
        offset: u64,
        length: u64,
    },
    FileEnd,
    /// The end; hash and totals have been checked.
    End([u8; 32]),
}

/// Reads records.
pub(crate) struct StreamReader<R> {
    inner: R,
    payload: Vec<u8>,
    hash: blake3::Hasher,
    totals: End,
}

impl<R: Read> StreamReader<R> {
    /// Checks magic and version, and reads the header.
    pub(crate) fn begin(inner: R) -> Result<(Self, Header)> {
        let mut this = Self {
            inner,
            payload: Vec::new(),
            hash: blake3::Hasher::new(),
            totals: End::default(),
        };
        let mut start = [0; 10];
        this.exact(&mut start)?;
        if &start[..8] != MAGIC {
            return Err(Error::Corrupt("this is no stream of files"));
        }
        let found = u16::from_le_bytes([start[8], start[9]]);
        if found != VERSION {
            return Err(Error::Version {
                found,
                known: VERSION,
            });
        }
        if this.read()? != TAG_HEADER {
            return Err(Error::Corrupt("the header is missing"));
        }
        let header =
            Header::decode(this.payload.as_slice()).map_err(|_| Error::Corrupt("undecodable header"))?;
        Ok((this, header))
    }

    /// The next record.
    pub(crate) fn next(&mut self) -> Result<Record<'_>> {
        match self.read()? {
            TAG_ENTRY => {
                let entry = Entry::decode(self.payload.as_slice())
                    .map_err(|_| Error::Corrupt("undecodable entry"))?;
                entry.check()?;
                self.totals.entries += 1;
                Ok(Record::Entry(Box::new(entry)))
            }
            TAG_DATA => {
                let (offset, bytes) = self
                    .payload
                    .split_first_chunk()
                    .ok_or(Error::Corrupt("data without offset"))?;
                self.totals.bytes += bytes.len() as u64;
                Ok(Record::Data {
                    offset: u64::from_le_bytes(*offset),
                    bytes,
                })
            }
            TAG_CLEAR => {
                let wrong = Error::Corrupt("a range that is none");
                let Some((offset, length)) = self.payload.split_first_chunk::<8>() else {
                    return Err(wrong);
                };
                let length: [u8; 8] = length.try_into().map_err(|_| wrong)?;
                Ok(Record::Clear {
                    offset: u64::from_le_bytes(*offset),
                    length: u64::from_le_bytes(length),
                })
            }
            TAG_FILE_END => Ok(Record::FileEnd),
            TAG_END => {
                let totals =
                    End::decode(self.payload.as_slice()).map_err(|_| Error::Corrupt("undecodable end"))?;
                if totals != self.totals {
                    return Err(Error::Corrupt("the totals differ"));
                }
                let ours = *self.hash.finalize().as_bytes();
                let mut theirs = [0; 32];
                self.exact(&mut theirs)?;
                if ours == theirs {
                    Ok(Record::End(ours))
                } else {
                    Err(Error::Corrupt("the hash differs"))
                }
            }
            _ => Err(Error::Corrupt("unknown record")),
        }
    }

    /// Reads one record into `payload`; gives its tag.
    fn read(&mut self) -> Result<u8> {
        let mut head = [0; 5];
        self.exact(&mut head)?;
        let [tag, length @ ..] = head;
        let length = u32::from_le_bytes(length) as usize;
        let most = match tag {
            TAG_HEADER | TAG_END => 64,
            TAG_ENTRY => limit::ENTRY,
            TAG_DATA => limit::DATA + 8,
            TAG_CLEAR => 16,
            TAG_FILE_END => 0,
            _ => return Err(Error::Corrupt("unknown record")),
        };
        if length > most {
            return Err(Error::Corrupt("a record is too long"));
        }
        let mut payload = std::mem::take(&mut self.payload);
        payload.resize(length, 0);
        let done = self.exact(&mut payload);
        self.payload = payload;
        done.map(|()| tag)
    }

    fn exact(&mut self, buffer: &mut [u8]) -> Result<()> {
        self.inner
            .read_exact(buffer)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => Error::Truncated,
                _ => Error::Stream(error),
            })?;
        self.hash.update(buffer);
        Ok(())
    }
}
