//! The destination's side: its file of the same path.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::{Cache, Content, Symbol};
use crate::elf::Elf;

/// What the destination has.
#[derive(Debug, Clone)]
pub struct Here {
    /// None: it is too large to be compared.
    pub(super) content: Option<Content>,
    pub(super) elf: Option<Arc<Elf>>,
}

impl Here {
    /// Whether a program that needs this symbol of the file finds it. False for what is no library.
    pub fn defines(&self, symbol: &Symbol) -> bool {
        self.elf.as_ref().is_some_and(|elf| elf.defines(symbol))
    }
}

/// The file at `path` of the node whose root directory is `root`; links lead inside that root. `Ok(None)`: there is no regular file.
/// Fails if it cannot be read.
pub fn here(root: &Path, path: &Path, cache: &mut Cache) -> io::Result<Option<Here>> {
    let root = File::open(root)?;
    let below = path.strip_prefix("/").unwrap_or(path);
    // Not blocking: the path may be a pipe here.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    // Only looked at first: to open a device can do things to the node.
    let looked = openat2(
        &root,
        below,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        resolve,
    );
    match looked.map(File::from) {
        Ok(found) if found.metadata()?.is_file() => {}
        Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    }
    let mut file = File::from(openat2(&root, below, flags, Mode::empty(), resolve)?);
    Ok(Some(Here {
        content: cache.content(&mut file)?,
        elf: cache.elf(&file)?,
    }))
}
