//! The tree that is written to.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::Timestamps;
use rustix::io::Errno;

use crate::beneath;
use crate::error::{Error, Result, shown};
use crate::meta::{Meta, Stamp, timespec};

/// Root of a tree that is written to: the merged overlay mount of the new container, or a plain tree.
#[derive(Debug)]
pub struct Target {
    root: OwnedFd,
}

impl Target {
    /// Opens `root`. Nothing outside it and nothing behind a mount point in it will be touched.
    ///
    /// Errors: [`Error::Write`] if it is no directory or cannot be opened.
    pub fn open(root: &Path) -> Result<Self> {
        let open = || -> std::io::Result<OwnedFd> {
            let dir = File::open(root)?;
            if dir.metadata()?.is_dir() {
                Ok(dir.into())
            } else {
                Err(std::io::ErrorKind::NotADirectory.into())
            }
        };
        Ok(Self {
            root: open().map_err(|e| Error::write("open", root.as_os_str().as_bytes(), e))?,
        })
    }

    /// Gives the root back.
    pub fn into_root(self) -> OwnedFd {
        self.root
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Bytes that the file system has left.
    pub(crate) fn free(&self) -> u64 {
        rustix::fs::fstatvfs(&self.root).map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize))
    }

    /// The error for a failed operation; a full file system gets its own.
    pub(crate) fn failed(&self, op: &'static str, path: &[u8], needed: u64, errno: Errno) -> Error {
        match errno {
            Errno::NOSPC | Errno::DQUOT => Error::NoSpace {
                path: shown(path),
                needed,
                free: self.free(),
            },
            errno => Error::write(op, path, errno),
        }
    }
}

impl From<OwnedFd> for Target {
    /// Takes an open directory as root.
    fn from(root: OwnedFd) -> Self {
        Self { root }
    }
}

/// Access and modification time.
pub(crate) type Times = (Stamp, Stamp);

/// As the kernel takes them.
pub(crate) fn timestamps(times: Times) -> Timestamps {
    Timestamps {
        last_access: timespec(times.0),
        last_modification: timespec(times.1),
    }
}

/// Directories: the one opened last, and the times that all of them get at the end, when nothing moves them any more.
#[derive(Default)]
pub(crate) struct Directories {
    last: Option<(Vec<u8>, OwnedFd)>,
    times: HashMap<Box<[u8]>, Times>,
}

impl Directories {
    /// Opens the directory `path`, about to be changed: unless the stream gives its times, it keeps those that it has.
    pub(crate) fn open(&mut self, target: &Target, path: &[u8]) -> rustix::io::Result<BorrowedFd<'_>> {
        let dir = match self.last.take() {
            Some((last, dir)) if last == path => dir,
            _ => {
                let dir = beneath::dir(target.root(), path)?;
                if !self.times.contains_key(path) {
                    let meta = Meta::at(&dir, b"")?;
                    self.times.insert(path.into(), (meta.atime, meta.mtime));
                }
                dir
            }
        };
        Ok(self.last.insert((path.to_vec(), dir)).1.as_fd())
    }

    /// Sets what the directory `path` gets at the end.
    pub(crate) fn set_times(&mut self, path: &[u8], times: Times) {
        self.times.insert(path.into(), times);
    }

    /// Forgets the directory held open: something was removed, it may be it.
    pub(crate) fn close(&mut self) {
        self.last = None;
    }

    /// Sets all times.
    pub(crate) fn finish(self, target: &Target) -> Result<()> {
        for (path, times) in self.times {
            match beneath::dir(target.root(), &path) {
                Ok(dir) => rustix::fs::futimens(&dir, &timestamps(times))
                    .map_err(|e| target.failed("set the times of", &path, 0, e))?,
                // Removed or replaced later in the stream.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => {}
                Err(errno) => return Err(Error::write("open", &path, errno)),
            }
        }
        Ok(())
    }
}
