//! From a file of the source to records of the stream.

use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{FileType, OFlags};
use rustix::io::Errno;

use crate::attributes::{self, Xattr};
use crate::beneath;
use crate::content::{self, Print};
use crate::error::{Error, Result, shown};
use crate::frame::StreamWriter;
use crate::limit;
use crate::meta::Meta;
use crate::overlay;
use crate::source::Source;
use crate::walk::{Found, View};
use crate::wire::{Entry, Kind};

/// What a file is, marks of the overlay considered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// The path is hidden.
    Whiteout,
    Directory(Cover),
    /// Any other file; `below`: its data is in a lower layer.
    Other {
        below: bool,
    },
}

/// How a directory covers the lower layers: 0: not at all (merged with the same path below), 1: wholly, else a number for the path that it is merged with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Cover(pub u64);

impl Cover {
    const WHOLE: Self = Self(1);

    fn redirected(to: &[u8], ino: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&ino.to_le_bytes()).update(to);
        let mut number = [0; 8];
        hasher.finalize_xof().fill(&mut number);
        Self(u64::from_le_bytes(number) | 2)
    }

    /// True if the directory does not simply merge with the lower layers' path.
    pub(crate) fn hides(self) -> bool {
        self != Self::default()
    }

    /// The view to read the directory's content in.
    pub(crate) fn view(self, of: View) -> View {
        if self.0 > 1 { View::Merged } else { of }
    }
}

/// Class and own attributes of a file.
pub(crate) struct Inspected {
    pub class: Class,
    pub xattrs: Vec<Xattr>,
    pub flagged: bool,
}

/// Reads attributes and marks of a file.
pub(crate) fn inspect(source: &Source, found: &Found<'_>) -> Result<Inspected> {
    let meta = &found.meta;
    let marks = source.marks().filter(|_| found.view == View::Layer);
    if marks.is_some() && overlay::is_whiteout(meta) {
        return Ok(Inspected {
            class: Class::Whiteout,
            xattrs: Vec::new(),
            flagged: false,
        });
    }
    let all = attributes::read(found.dir, found.name).map_err(|e| match e {
        Errno::TOOBIG => Error::TooBig {
            what: "the size of the extended attributes",
            path: shown(found.path),
            limit: limit::XATTR_BYTES as u64,
        },
        e => Error::read("read the attributes of", found.path, e),
    })?;
    let (xattrs, mark) = match marks {
        Some(marks) => overlay::part(marks, all),
        None => (all, overlay::Found::default()),
    };
    let class = match meta.kind {
        // An opaque directory with a leftover redirect is opaque: the kernel looks at the former first.
        FileType::Directory if mark.opaque => Class::Directory(Cover::WHOLE),
        FileType::Directory => Class::Directory(
            mark.redirect
                .map_or(Cover::default(), |to| Cover::redirected(&to, meta.id.1)),
        ),
        FileType::RegularFile if mark.whiteout && meta.size == 0 => Class::Whiteout,
        _ => Class::Other { below: mark.metacopy },
    };
    Ok(Inspected {
        class,
        xattrs,
        flagged: mark.flagged || meta.flagged,
    })
}

/// What was sent.
pub(crate) struct Sent {
    /// The state that was sent: taken before the data was read.
    pub meta: Meta,
    pub print: Option<Print>,
}

/// What the target does with a file that it has at that path.
#[derive(Debug, Clone, Default)]
pub(crate) enum Keep {
    /// Nothing: it gets a new one. The file that was there may have other names, or never have been this one.
    #[default]
    No,
    /// Keeps it, for something may be mounted from it, and gives it other content.
    Whole,
    /// Keeps it, and all of its content but the blocks that differ from these.
    Blocks(Arc<Print>),
}

/// Sends a directory.
pub(crate) fn directory<W: Write>(
    found: &Found<'_>,
    xattrs: Vec<Xattr>,
    replace: bool,
    out: &mut StreamWriter<W>,
) -> Result<()> {
    out.entry(&Entry {
        replace,
        ..Entry::of(found.path, &found.meta, xattrs)
    })
}

/// Sends any other file; `frozen`: nothing may move while it is read.
pub(crate) fn other<W: Write>(
    source: &Source,
    found: &Found<'_>,
    xattrs: Vec<Xattr>,
    below: bool,
    (frozen, keep): (bool, &Keep),
    out: &mut StreamWriter<W>,
) -> Result<Sent> {
    match found.meta.kind {
        FileType::RegularFile => file(source, found, xattrs, below, (frozen, keep), out),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(found.dir, found.name, Vec::new()).map_err(|e| match e {
                // It is no link any more.
                Errno::INVAL => Error::read("read the link", found.path, Errno::NOENT),
                e => Error::read("read the link", found.path, e),
            })?;
            out.entry(&Entry {
                link: target.into_bytes(),
                ..Entry::of(found.path, &found.meta, xattrs)
            })?;
            Ok(Sent {
                meta: found.meta.clone(),
                print: None,
            })
        }
        _ => {
            out.entry(&Entry::of(found.path, &found.meta, xattrs))?;
            Ok(Sent {
                meta: found.meta.clone(),
                print: None,
            })
        }
    }
}

fn file<W: Write>(
    source: &Source,
    found: &Found<'_>,
    xattrs: Vec<Xattr>,
    below: bool,
    (frozen, keep): (bool, &Keep),
    out: &mut StreamWriter<W>,
) -> Result<Sent> {
    // NONBLOCK: if it has just become a fifo, opening must not wait for a writer.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOATIME | OFlags::CLOEXEC;
    let failed = |e| Error::read("open", found.path, e);
    let here = beneath::open(found.dir, found.name, flags).map_err(failed)?;
    let meta = Meta::at(&here, b"").map_err(|e| Error::read("inspect", found.path, e))?;
    if !meta.is_file() {
        return Err(Error::read("open", found.path, Errno::NOENT));
    }
    let data = if below {
        let (parent, name) = beneath::split(found.path);
        let parent = beneath::dir(source.merged(found.path)?, parent).map_err(failed)?;
        beneath::open(parent, name, flags).map_err(failed)?
    } else {
        here
    };
    // What the target has may be kept only if it was made from this very file.
    let keep = if meta.id == found.meta.id { keep } else { &Keep::No };
    out.entry(&Entry {
        keep: !matches!(keep, Keep::No),
        ..Entry::of(found.path, &meta, xattrs)
    })?;
    let was = match keep {
        Keep::Blocks(print) => match &**print {
            Print::Blocks(blocks) if blocks.compares(meta.size) => Some(blocks),
            _ => None,
        },
        _ => None,
    };
    let (whole, print) = if let Some(was) = was {
        content::send_changes(&data, found.path, meta.size, was, out)?
    } else {
        if !matches!(keep, Keep::No) {
            out.clear(0, meta.size)?;
        }
        content::send(&data, found.path, meta.size, source.stamps_tell(), out)?
    };
    out.file_end()?;
    if frozen {
        let after = Meta::at(found.dir, found.name).map_err(|e| Error::read("inspect", found.path, e))?;
        if !whole || after.id != meta.id || after.ctime != meta.ctime || after.size != meta.size {
            return Err(Error::ChangedWhileFrozen(shown(found.path)));
        }
    }
    Ok(Sent { meta, print })
}

/// Sends that `path` is another name for `leader`.
pub(crate) fn hard_link<W: Write>(path: &[u8], leader: &[u8], out: &mut StreamWriter<W>) -> Result<()> {
    out.entry(&Entry::bare(Kind::HardLink, path, leader))
}

/// Sends that nothing is at `path`.
pub(crate) fn delete<W: Write>(path: &[u8], out: &mut StreamWriter<W>) -> Result<()> {
    out.entry(&Entry::bare(Kind::Delete, path, b""))
}

/// The fingerprint of the data of a regular file as it is now.
pub(crate) fn fingerprint(dir: impl AsFd, name: &[u8], path: &[u8], size: u64) -> Result<[u8; 32]> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOATIME | OFlags::CLOEXEC;
    let file = beneath::open(dir, name, flags).map_err(|e| Error::read("open", path, e))?;
    content::fingerprint(file, path, size)
}
