//! Removing what is at a path, mount points excepted.

use std::os::fd::AsFd;

use rustix::fs::AtFlags;
use rustix::io::{Errno, Result};

use crate::beneath;
use crate::listing;
use crate::meta::Meta;

/// Removes `name` in `dir` with all below it. Mount points, and the directories that lead to them, stay.
///
/// Gives whether nothing is left at `name`. Errors: as the kernel says.
pub(crate) fn all(dir: impl AsFd, name: &[u8]) -> Result<bool> {
    let meta = match Meta::at(&dir, name) {
        Err(Errno::NOENT) => return Ok(true),
        other => other?,
    };
    if meta.mounted_on {
        return Ok(false);
    }
    if !meta.is_dir() {
        return unlink(&dir, name, AtFlags::empty());
    }
    let top = match beneath::dir(&dir, name) {
        Err(Errno::XDEV) => return Ok(false),
        other => other?,
    };
    // Paths, not descriptors: a tree may be deeper than a process may have files open.
    let mut pending = vec![Vec::new()];
    let mut directories = Vec::new();
    while let Some(path) = pending.pop() {
        let here = match beneath::dir(&top, &path) {
            Err(Errno::XDEV) => continue,
            other => other?,
        };
        for child in listing::names(&here)? {
            let meta = Meta::at(&here, &child)?;
            if meta.mounted_on {
                continue;
            }
            if meta.is_dir() {
                pending.push(beneath::join(&path, &child));
            } else {
                unlink(&here, &child, AtFlags::empty())?;
            }
        }
        if !path.is_empty() {
            directories.push(path);
        }
    }
    // Parents were listed before their children.
    for path in directories.iter().rev() {
        let (parent, name) = beneath::split(path);
        unlink(beneath::dir(&top, parent)?, name, AtFlags::REMOVEDIR)?;
    }
    drop(top);
    unlink(&dir, name, AtFlags::REMOVEDIR)
}

/// Gives false where a mount point is, or is below.
fn unlink(dir: impl AsFd, name: &[u8], flags: AtFlags) -> Result<bool> {
    match rustix::fs::unlinkat(dir, name, flags) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::BUSY | Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno),
    }
}
