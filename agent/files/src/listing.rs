//! The names in a directory.

use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::RawDir;

/// Bytes read by one `getdents64`.
const BUFFER: usize = 32 * 1024;

/// All names in the open directory `dir` but `.` and `..`, sorted, so that a stream does not depend on hash order.
///
/// Errors: as the kernel says. `dir` must be freshly opened: its position moves.
pub(crate) fn names(dir: impl AsFd) -> rustix::io::Result<Vec<Box<[u8]>>> {
    let mut buffer = vec![MaybeUninit::<u8>::uninit(); BUFFER];
    let mut entries = RawDir::new(dir, &mut buffer);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.into());
        }
    }
    names.sort_unstable();
    Ok(names)
}
