//! Tables in memfds, so that a log need not be replayed from its beginning.

use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::sys::memfd::{MFdFlags, memfd_create};

use super::ServeError;
use super::table::Table;

/// Writes a table into a new memfd.
pub(super) fn save(table: &Table) -> Result<RawFd, ServeError> {
    let io = |source| ServeError::io("write", Path::new("memfd"), source);
    let fd = memfd_create(c"table", MFdFlags::MFD_CLOEXEC).map_err(|errno| io(errno.into()))?;
    let bytes: Vec<u8> = table.encode().into_iter().flat_map(u64::to_ne_bytes).collect();
    let file = File::from(fd);
    file.write_all_at(&bytes, 0).map_err(io)?;
    Ok(file.into_raw_fd())
}

/// Reads it again.
pub(super) fn load(fd: RawFd) -> Result<Table, ServeError> {
    let io = |source| ServeError::io("read", Path::new("memfd"), source);
    let file = File::from(duplicate(fd)?);
    let length = file.metadata().map_err(io)?.len();
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0).map_err(io)?;
    let words: Vec<u64> = bytes
        .as_chunks::<8>()
        .0
        .iter()
        .map(|word| u64::from_ne_bytes(*word))
        .collect();
    Ok(Table::decode(&words))
}

/// A second descriptor of the same memfd.
pub(super) fn copy(fd: RawFd) -> Result<RawFd, ServeError> {
    duplicate(fd).map(IntoRawFd::into_raw_fd)
}

/// Closes a descriptor that the board names and nothing else will.
pub(super) fn close(fd: RawFd) {
    // SAFETY: the caller took it out of the board, which was its only owner.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
}

fn duplicate(fd: RawFd) -> Result<OwnedFd, ServeError> {
    // SAFETY: the board names it, so it is open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    debug_assert!(borrowed.as_raw_fd() >= 0);
    borrowed
        .try_clone_to_owned()
        .map_err(|source| ServeError::io("duplicate", Path::new("memfd"), source))
}
