//! Making what an entry says.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FallocateFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use crate::attributes::{self, Xattr};
use crate::beneath;
use crate::error::{Error, Result, shown};
use crate::meta::Meta;
use crate::remove;
use crate::target::{Target, Times, timestamps};
use crate::wire::{Entry, Kind};

/// Access and modification time of an entry.
pub(crate) fn times(entry: &Entry) -> Times {
    ((entry.atime, entry.atime_ns), (entry.mtime, entry.mtime_ns))
}

/// What came of an entry.
pub(crate) enum Placed {
    Done,
    /// A mount point is in the way; nothing was written.
    BehindMount,
}

/// Makes a directory, or keeps the one that is there; its times come last of all.
pub(crate) fn directory(
    target: &Target,
    parent: BorrowedFd<'_>,
    name: &[u8],
    entry: &mut Entry,
) -> Result<Placed> {
    let path = std::mem::take(&mut entry.path);
    let failed = |op, errno| target.failed(op, &path, 0, errno);
    if !name.is_empty() {
        let present = present(parent, name).map_err(|e| failed("inspect", e))?;
        if present.as_ref().is_some_and(|meta| meta.mounted_on) {
            return Ok(Placed::BehindMount);
        }
        if present.is_none_or(|meta| entry.replace || !meta.is_dir()) {
            let gone = remove::all(parent, name).map_err(|e| failed("remove", e))?;
            match rustix::fs::mkdirat(parent, name, Mode::RWXU) {
                // Leads to a mount point, and so stays.
                Err(Errno::EXIST) if !gone => {}
                other => other.map_err(|e| failed("make the directory", e))?,
            }
        }
    }
    let dir = match beneath::dir(parent, name) {
        Err(Errno::XDEV) => return Ok(Placed::BehindMount),
        other => other.map_err(|e| failed("open", e))?,
    };
    finish_open(target, &dir, &path, entry, false)?;
    Ok(Placed::Done)
}

/// Removes what is at `name` to make room for something that is no directory; `None` if a mount point is there.
fn cleared(target: &Target, parent: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<Option<()>> {
    let gone = remove::all(parent, name).map_err(|e| target.failed("remove", path, 0, e))?;
    Ok(gone.then_some(()))
}

/// Makes an empty regular file to be filled, or opens the one that is to be kept; `None` if a mount point is there.
pub(crate) fn file(
    target: &Target,
    parent: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
) -> Result<Option<OwnedFd>> {
    // Below this, the file system's own answer is early enough.
    const WORTH_ASKING: u64 = 1 << 20;
    let path = &entry.path;
    if entry.keep {
        return kept(target, parent, name, path);
    }
    if entry.allocated > WORTH_ASKING {
        let free = target.free();
        if entry.allocated > free {
            return Err(Error::NoSpace {
                path: shown(path),
                needed: entry.allocated,
                free,
            });
        }
    }
    if cleared(target, parent, name, path)?.is_none() {
        return Ok(None);
    }
    // Never in place: the file that was here may have other names, which keep it.
    beneath::create(parent, name)
        .map(Some)
        .map_err(|e| target.failed("create", path, entry.allocated, e))
}

/// Opens the regular file that is there.
fn kept(target: &Target, parent: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> Result<Option<OwnedFd>> {
    // NONBLOCK: a fifo, which it must not be, would wait for a reader.
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = match beneath::open(parent, name, flags) {
        Err(Errno::XDEV) => return Ok(None),
        other => other.map_err(|e| target.failed("open", path, 0, e))?,
    };
    let meta = Meta::at(&fd, b"").map_err(|e| target.failed("inspect", path, 0, e))?;
    if !meta.is_file() {
        return Err(Error::Corrupt("what is to be kept is no file"));
    }
    Ok(Some(fd))
}

/// Makes a hole of this range (start and length) of an open file.
pub(crate) fn clear(target: &Target, fd: &OwnedFd, entry: &Entry, (start, length): (u64, u64)) -> Result<()> {
    static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
    let failed = |errno| target.failed("clear a range of", &entry.path, length, errno);
    if start == 0 && length == entry.size {
        return rustix::fs::ftruncate(fd, 0).map_err(failed);
    }
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    // A part of a page is not freed but filled with zeros. What is behind the end is cut off later anyhow.
    let to_the_end = start + length == entry.size;
    let whole = if to_the_end {
        length.next_multiple_of(ZEROS.len() as u64)
    } else {
        length
    };
    match rustix::fs::fallocate(fd, flags, start, whole) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
        other => return other.map_err(failed),
    }
    // A file system without holes.
    let (mut at, end) = (start, start + length);
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(ZEROS.len()).min(ZEROS.len());
        match rustix::io::pwrite(fd, &ZEROS[..want], at) {
            Ok(0) => return Err(failed(Errno::IO)),
            Ok(written) => at += written as u64,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(())
}

/// Gives an open file or directory owner, attributes, mode and (a file) times, in this order: a change of owner takes
/// away setuid bits and capabilities, a write takes away capabilities, an ACL sets mode bits.
pub(crate) fn finish_open(
    target: &Target,
    fd: &OwnedFd,
    path: &[u8],
    entry: &mut Entry,
    set_times: bool,
) -> Result<()> {
    let failed = |op, errno| target.failed(op, path, 0, errno);
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    rustix::fs::fchown(fd, Some(uid), Some(gid)).map_err(|e| failed("set the owner of", e))?;
    write_xattrs(fd, b"", path, &entry.take_xattrs())?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(entry.mode)).map_err(|e| failed("set the mode of", e))?;
    if set_times {
        rustix::fs::futimens(fd, &timestamps(times(entry))).map_err(|e| failed("set the times of", e))?;
    }
    Ok(())
}

/// Makes a symbolic link, fifo, socket or device.
pub(crate) fn special(
    target: &Target,
    parent: BorrowedFd<'_>,
    name: &[u8],
    entry: &mut Entry,
) -> Result<Placed> {
    let path = std::mem::take(&mut entry.path);
    let failed = |op, errno| target.failed(op, &path, 0, errno);
    if cleared(target, parent, name, &path)?.is_none() {
        return Ok(Placed::BehindMount);
    }
    let node = match entry.kind() {
        Kind::Symlink => None,
        Kind::Fifo => Some(FileType::Fifo),
        Kind::Socket => Some(FileType::Socket),
        Kind::CharDevice => Some(FileType::CharacterDevice),
        Kind::BlockDevice => Some(FileType::BlockDevice),
        _ => return Err(Error::Corrupt("unknown kind of entry")),
    };
    if let Some(kind) = node {
        let device = match kind {
            FileType::CharacterDevice | FileType::BlockDevice => {
                rustix::fs::makedev(entry.major, entry.minor)
            }
            _ => 0,
        };
        rustix::fs::mknodat(parent, name, kind, Mode::RUSR | Mode::WUSR, device)
            .map_err(|e| failed("make the node", e))?;
    } else {
        rustix::fs::symlinkat(entry.link.as_slice(), parent, name).map_err(|e| failed("make the link", e))?;
    }
    let (uid, gid) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
    rustix::fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| failed("set the owner of", e))?;
    write_xattrs(parent, name, &path, &entry.take_xattrs())?;
    if node.is_some() {
        // There is no chmod that surely follows no link, but this descriptor can only be the node itself.
        let fd = beneath::open(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC)
            .map_err(|e| failed("open", e))?;
        rustix::fs::chmod(beneath::proc_path(&fd, b""), Mode::from_raw_mode(entry.mode))
            .map_err(|e| failed("set the mode of", e))?;
    }
    rustix::fs::utimensat(parent, name, &timestamps(times(entry)), AtFlags::SYMLINK_NOFOLLOW)
        .map_err(|e| failed("set the times of", e))?;
    Ok(Placed::Done)
}

/// Makes `name` another name for `leader`, which must be in the target already.
pub(crate) fn hard_link(
    target: &Target,
    parent: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
) -> Result<Placed> {
    let failed = |op, errno| target.failed(op, &entry.path, 0, errno);
    let (leader_dir, leader) = beneath::split(&entry.link);
    let leader_dir =
        beneath::dir(target.root(), leader_dir).map_err(|e| failed("find the other name of", e))?;
    match present(leader_dir.as_fd(), leader).map_err(|e| failed("find the other name of", e))? {
        None => return Err(failed("find the other name of", Errno::NOENT)),
        Some(meta) if meta.mounted_on => return Ok(Placed::BehindMount),
        Some(meta) if meta.is_dir() => return Err(Error::Corrupt("hard link to a directory")),
        Some(_) => {}
    }
    if cleared(target, parent, name, &entry.path)?.is_none() {
        return Ok(Placed::BehindMount);
    }
    rustix::fs::linkat(&leader_dir, leader, parent, name, AtFlags::empty()).map_err(|e| failed("link", e))?;
    Ok(Placed::Done)
}

fn present(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<Option<Meta>> {
    match Meta::at(parent, name) {
        Ok(meta) => Ok(Some(meta)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn write_xattrs(dir: impl AsFd, name: &[u8], path: &[u8], wanted: &[Xattr]) -> Result<()> {
    attributes::write(dir, name, wanted).map_err(|(attribute, errno)| Error::Xattr {
        path: shown(path),
        name: shown(&attribute),
        source: errno.into(),
    })
}
