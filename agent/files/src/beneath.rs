//! Opening what lies below a directory, whatever its path holds.
//!
//! The kernel resolves: no symbolic link is followed, no mount point crossed, `..` leads nowhere. Paths longer than `PATH_MAX`
//! are opened in pieces.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, Result};

/// Longest piece given to one system call, in bytes (below `PATH_MAX`).
const PIECE: usize = 4000;

fn resolve() -> ResolveFlags {
    ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV
}

/// Opens the directory `path` (no leading slash; empty: `root` itself) for listing and as a base for others.
///
/// Errors: `ELOOP` for a symbolic link and `EXDEV` for a mount point on the way.
pub(crate) fn dir(root: impl AsFd, path: &[u8]) -> Result<OwnedFd> {
    let mut rest = path;
    let mut at: Option<OwnedFd> = None;
    loop {
        let cut = if rest.len() <= PIECE {
            rest.len()
        } else {
            rest[..PIECE]
                .iter()
                .rposition(|&b| b == b'/')
                .ok_or(Errno::NAMETOOLONG)?
        };
        let piece = if cut == 0 { b".".as_slice() } else { &rest[..cut] };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let next = match &at {
            Some(fd) => open(fd, piece, flags)?,
            None => open(&root, piece, flags)?,
        };
        if cut == rest.len() {
            return Ok(next);
        }
        rest = &rest[cut + 1..];
        at = Some(next);
    }
}

/// Opens `name` in `dir` with `flags`; `O_NOATIME` is dropped if the file is another user's (only an owner or root may ask for it).
///
/// Errors: as the kernel says; `EXDEV` if something is mounted on it.
pub(crate) fn open(dir: impl AsFd, name: &[u8], flags: OFlags) -> Result<OwnedFd> {
    match rustix::fs::openat2(&dir, name, flags, Mode::empty(), resolve()) {
        Err(Errno::PERM) if flags.contains(OFlags::NOATIME) => {
            rustix::fs::openat2(&dir, name, flags - OFlags::NOATIME, Mode::empty(), resolve())
        }
        other => other,
    }
}

/// Creates the regular file `name` in `dir` for writing; it must not exist.
pub(crate) fn create(dir: impl AsFd, name: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat2(dir, name, flags, Mode::RUSR | Mode::WUSR, resolve())
}

/// Splits into the path of the parent directory and the name.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// Joins a directory's path and a name.
pub(crate) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(dir.len() + 1 + name.len());
    path.extend_from_slice(dir);
    if !dir.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// A path for calls that take no directory descriptor: through `/proc/self/fd`, so that it stays short and cannot be moved away.
pub(crate) fn proc_path(dir: impl AsFd, name: &[u8]) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}", dir.as_fd().as_raw_fd()).into_bytes();
    if !name.is_empty() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_and_joins() {
        assert_eq!(split(b"a/b/c"), (b"a/b".as_slice(), b"c".as_slice()));
        assert_eq!(split(b"c"), (b"".as_slice(), b"c".as_slice()));
        assert_eq!(join(b"", b"c"), b"c");
        assert_eq!(join(b"a/b", b"c"), b"a/b/c");
    }

    #[test]
    fn follows_nothing_and_leaves_nothing() {
        let tmp = tempfile::tempdir().unwrap();
        let root = tmp.path().join("root");
        std::fs::create_dir_all(root.join("real/inner")).unwrap();
        std::os::unix::fs::symlink("real", root.join("link")).unwrap();
        std::os::unix::fs::symlink("/", root.join("abs")).unwrap();
        let fd = std::fs::File::open(&root).unwrap();
        assert!(dir(&fd, b"real/inner").is_ok());
        assert!(dir(&fd, b"").is_ok());
        assert_eq!(dir(&fd, b"link/inner").unwrap_err(), Errno::LOOP);
        assert_eq!(dir(&fd, b"abs/etc").unwrap_err(), Errno::LOOP);
        assert_eq!(dir(&fd, b"real/../..").unwrap_err(), Errno::XDEV);
        assert_eq!(dir(&fd, b"/etc").unwrap_err(), Errno::XDEV);
    }
}
