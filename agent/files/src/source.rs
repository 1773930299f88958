//! A tree to be sent.

use std::collections::HashSet;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::beneath;
use crate::error::{Error, Result};
use crate::meta::Meta;
use crate::overlay::Marks;

/// `statfs` types of file systems that live in memory: `TMPFS_MAGIC`, `RAMFS_MAGIC`, `HUGETLBFS_MAGIC` (linux/magic.h).
const IN_MEMORY: [i64; 3] = [0x0102_1994, 0x8584_58f6, 0x9584_58f6];

/// A tree of files to be sent: the upper directory of an overlay mount, or a plain tree.
#[derive(Debug)]
pub struct Source {
    root: OwnedFd,
    merged: Option<OwnedFd>,
    marks: Option<Marks>,
    excluded: HashSet<Box<[u8]>>,
    /// False where writes through memory maps leave the stamps alone, so that contents must be compared.
    stamps_tell: bool,
}

impl Source {
    /// The writable layer `upper` of an overlay mount that keeps its marks in `marks`. `merged` is the root of the same mount as processes see it, for
    /// instance `/proc/PID/root`; it is read only where data lies in lower layers (metacopy, `redirect_dir`).
    ///
    /// Errors: [`Error::Read`] if either cannot be opened.
    pub fn overlay(upper: &Path, merged: Option<&Path>, marks: Marks) -> Result<Self> {
        let merged = merged.map(opened).transpose()?;
        Self::new(opened(upper)?, merged, Some(marks))
    }

    /// A plain tree, such as `/proc/PID/root/dev/shm`, without anything mounted below it.
    ///
    /// Errors: [`Error::Read`] if it cannot be opened.
    pub fn tree(root: &Path) -> Result<Self> {
        Self::new(opened(root)?, None, None)
    }

    /// The same, of an open directory.
    ///
    /// Errors: [`Error::Read`] if its file system cannot be inspected.
    pub fn directory(root: OwnedFd) -> Result<Self> {
        Self::new(root, None, None)
    }

    fn new(root: OwnedFd, merged: Option<OwnedFd>, marks: Option<Marks>) -> Result<Self> {
        let fs = rustix::fs::fstatfs(&root).map_err(|e| Error::read("inspect the file system of", b"", e))?;
        #[allow(
            clippy::useless_conversion,
            reason = "the type of f_type differs between architectures"
        )]
        let stamps_tell = !IN_MEMORY.contains(&i64::from(fs.f_type));
        Ok(Self {
            root,
            merged,
            marks,
            excluded: HashSet::new(),
            stamps_tell,
        })
    }

    /// Leaves out these paths and all below them: the container's mount destinations (a leading slash is ignored). What lies there
    /// in the layer is hidden from the container, mere placeholders for the mounts.
    #[must_use]
    pub fn exclude<P: AsRef<Path>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        for path in paths {
            let components = path.as_ref().components().filter_map(|c| match c {
                std::path::Component::Normal(name) => Some(name.as_bytes()),
                _ => None,
            });
            let relative = components.collect::<Vec<_>>().join(&b'/');
            if !relative.is_empty() {
                self.excluded.insert(relative.into());
            }
        }
        self
    }

    pub(crate) fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub(crate) fn merged(&self, path: &[u8]) -> Result<BorrowedFd<'_>> {
        self.merged
            .as_ref()
            .map(AsFd::as_fd)
            .ok_or_else(|| Error::NeedsMerged(crate::error::shown(path)))
    }

    /// Device and inode number of the file at `path` as processes see it; `None` if that cannot be told.
    pub(crate) fn seen_id(&self, path: &[u8], meta: &Meta) -> Option<(u64, u64)> {
        if self.marks.is_none() {
            return Some(meta.id);
        }
        let (parent, name) = beneath::split(path);
        let parent = beneath::dir(self.merged.as_ref()?, parent).ok()?;
        Meta::at(parent, name).ok().map(|seen| seen.id)
    }

    pub(crate) fn marks(&self) -> Option<Marks> {
        self.marks
    }

    pub(crate) fn stamps_tell(&self) -> bool {
        self.stamps_tell
    }

    pub(crate) fn excludes(&self, path: &[u8]) -> bool {
        self.excluded.contains(path)
    }
}

fn opened(path: &Path) -> Result<OwnedFd> {
    let open = || -> std::io::Result<OwnedFd> {
        let dir = File::open(path)?;
        if dir.metadata()?.is_dir() {
            Ok(dir.into())
        } else {
            Err(std::io::ErrorKind::NotADirectory.into())
        }
    };
    open().map_err(|e| Error::read("open", path.as_os_str().as_bytes(), e))
}
