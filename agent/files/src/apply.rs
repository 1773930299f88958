//! Playing a stream back.

use std::io::Read;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use crate::beneath;
use crate::error::{Error, Result, shown};
use crate::frame::{Record, StreamReader};
use crate::limit::Limits;
use crate::place::{self, Placed};
use crate::remove;
use crate::stats::Stats;
use crate::target::{Directories, Target};
use crate::wire::{Entry, Kind};

/// What the passes of one tree have in common: limits, and which pass has been applied last, so that no round or delta meets a tree it was not
/// made for.
#[derive(Debug, Clone, Default)]
pub struct ApplyState {
    limits: Limits,
    base: Option<[u8; 32]>,
    total: Stats,
}

impl ApplyState {
    /// Before the base pass.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Figures of all passes so far.
    pub fn total(&self) -> Stats {
        self.total
    }
}

/// Plays the stream `input` (give it a buffer) back below `target`: a base pass, then rounds, then a delta, each made
/// with what the one before it gave.
///
/// The target must be as its image left it: a second try needs a new container, not the tree of the first.
///
/// Reads nothing beyond the end mark. After an error the tree is half written: remove it with its container.
/// Errors: [`Error::Truncated`], [`Error::Corrupt`], [`Error::Path`], [`Error::Version`] for the stream,
/// [`Error::NoSpace`], [`Error::Xattr`], [`Error::Write`] for the target, [`Error::TooBig`] for the limits,
/// [`Error::DeltaWithoutBase`].
pub fn apply<R: Read>(input: &mut R, target: &Target, state: &mut ApplyState) -> Result<Stats> {
    let (mut reader, header) = StreamReader::begin(input)?;
    let is_base = header.base.is_empty();
    if !is_base && state.base.as_ref().map(<[u8; 32]>::as_slice) != Some(header.base.as_slice()) {
        return Err(Error::DeltaWithoutBase);
    }
    // Until this pass is whole, nothing may follow.
    state.base = None;
    let mut pass = Pass {
        target,
        limits: state.limits,
        directories: Directories::default(),
        file: None,
        stats: Stats::default(),
    };
    let id = loop {
        match reader.next()? {
            Record::Entry(entry) => pass.entry(*entry)?,
            Record::Data { offset, bytes } => pass.data(offset, bytes)?,
            Record::Clear { offset, length } => pass.clear(offset, length)?,
            Record::FileEnd => pass.file_end()?,
            Record::End(hash) => break hash,
        }
    };
    if pass.file.is_some() {
        return Err(Error::Corrupt("a file has no end"));
    }
    let Pass {
        directories, stats, ..
    } = pass;
    directories.finish(target)?;
    state.base = Some(id);
    let total = &mut state.total;
    total.entries += stats.entries;
    total.files += stats.files;
    total.bytes += stats.bytes;
    total.deleted += stats.deleted;
    total.links += stats.links;
    total.behind_mounts += stats.behind_mounts;
    Ok(stats)
}

/// A file being filled.
struct Filling {
    entry: Entry,
    /// `None`: behind a mount point, its data is passed over.
    fd: Option<OwnedFd>,
    /// End of the last piece.
    at: u64,
}

struct Pass<'a> {
    target: &'a Target,
    limits: Limits,
    directories: Directories,
    file: Option<Filling>,
    stats: Stats,
}

impl Pass<'_> {
    fn entry(&mut self, mut entry: Entry) -> Result<()> {
        if self.file.is_some() {
            return Err(Error::Corrupt("a file has no end"));
        }
        self.stats.entries += 1;
        if self.stats.entries > self.limits.entries {
            return Err(too_big("the number of entries", &entry.path, self.limits.entries));
        }
        let path = entry.path.clone();
        let (parent_path, name) = beneath::split(&path);
        let kind = entry.kind();
        let target = self.target;
        if kind == Kind::Directory {
            // Before the parent is opened: the root's own entry names it, and may come first.
            self.directories.set_times(&path, place::times(&entry));
        }
        if matches!(kind, Kind::Directory | Kind::Delete) {
            self.directories.close();
        }
        let parent = match self.directories.open(target, parent_path) {
            Ok(parent) => parent,
            Err(Errno::XDEV) => {
                self.behind_mount(kind, entry);
                return Ok(());
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) if kind == Kind::Delete => return Ok(()),
            Err(errno) => return Err(target.failed("open the directory of", &path, 0, errno)),
        };
        let placed = match kind {
            Kind::Directory => place::directory(target, parent, name, &mut entry)?,
            Kind::File => match place::file(target, parent, name, &entry)? {
                Some(fd) => {
                    self.file = Some(Filling {
                        entry,
                        fd: Some(fd),
                        at: 0,
                    });
                    self.stats.files += 1;
                    return Ok(());
                }
                None => Placed::BehindMount,
            },
            Kind::HardLink => {
                let placed = place::hard_link(target, parent, name, &entry)?;
                self.stats.links += u64::from(matches!(placed, Placed::Done));
                placed
            }
            Kind::Delete => {
                let gone = remove::all(parent, name).map_err(|e| target.failed("remove", &path, 0, e))?;
                self.stats.deleted += u64::from(gone);
                if gone { Placed::Done } else { Placed::BehindMount }
            }
            _ => place::special(target, parent, name, &mut entry)?,
        };
        if matches!(placed, Placed::BehindMount) {
            self.behind_mount(kind, entry);
        }
        Ok(())
    }

    fn behind_mount(&mut self, kind: Kind, entry: Entry) {
        self.stats.behind_mounts += 1;
        tracing::debug!(path = %shown(&entry.path), "a mount point is in the way; left as it is");
        if kind == Kind::File {
            self.file = Some(Filling {
                entry,
                fd: None,
                at: 0,
            });
        }
    }

    fn data(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let file = self.file.as_mut().ok_or(Error::Corrupt("data without a file"))?;
        let end = offset
            .checked_add(bytes.len() as u64)
            .filter(|&end| end <= file.entry.size);
        let end = end.ok_or(Error::Corrupt("data beyond the end of its file"))?;
        if bytes.is_empty() || offset < file.at {
            return Err(Error::Corrupt("data out of order"));
        }
        file.at = end;
        self.stats.bytes += bytes.len() as u64;
        if self.stats.bytes > self.limits.bytes {
            let path = file.entry.path.clone();
            return Err(too_big(
                "the amount of data up to the end",
                &path,
                self.limits.bytes,
            ));
        }
        let Some(fd) = &file.fd else { return Ok(()) };
        let (mut rest, mut at) = (bytes, offset);
        while !rest.is_empty() {
            match rustix::io::pwrite(fd, rest, at) {
                Ok(0) => {
                    return Err(self
                        .target
                        .failed("write", &file.entry.path, rest.len() as u64, Errno::IO));
                }
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    at += written as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => {
                    return Err(self
                        .target
                        .failed("write", &file.entry.path, rest.len() as u64, errno));
                }
            }
        }
        Ok(())
    }

    /// Makes a hole in a file that is kept.
    fn clear(&mut self, offset: u64, length: u64) -> Result<()> {
        let file = self
            .file
            .as_mut()
            .ok_or(Error::Corrupt("a range without a file"))?;
        let end = offset.checked_add(length).filter(|&end| end <= file.entry.size);
        if !file.entry.keep || end.is_none() || offset < file.at {
            return Err(Error::Corrupt("a range out of bounds"));
        }
        file.at = offset;
        match &file.fd {
            Some(fd) => place::clear(self.target, fd, &file.entry, (offset, length)),
            None => Ok(()),
        }
    }

    fn file_end(&mut self) -> Result<()> {
        let Filling { mut entry, fd, at } = self.file.take().ok_or(Error::Corrupt("end without a file"))?;
        let Some(fd) = fd else { return Ok(()) };
        let path = std::mem::take(&mut entry.path);
        if at < entry.size || entry.keep {
            rustix::fs::ftruncate(&fd, entry.size)
                .map_err(|e| self.target.failed("set the length of", &path, 0, e))?;
        }
        place::finish_open(self.target, &fd, &path, &mut entry, true)
    }
}

fn too_big(what: &'static str, path: &[u8], limit: u64) -> Error {
    Error::TooBig {
        what,
        path: shown(path),
        limit,
    }
}
