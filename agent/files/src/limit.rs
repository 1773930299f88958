//! The bounds of the format: both sides keep them, the writer by a named error before the freeze, the reader against a
//! hostile peer.

/// Longest path relative to the root, in bytes. Far above `PATH_MAX` (4096), which binds a system call, not a tree.
pub(crate) const PATH: usize = 64 * 1024;
/// Longest name of one component, in bytes (`NAME_MAX`).
pub(crate) const NAME: usize = 255;
/// Longest target of a symbolic link, in bytes (`PATH_MAX` less the final NUL).
pub(crate) const LINK: usize = 4095;
/// Most extended attributes of one file.
pub(crate) const XATTRS: usize = 1024;
/// Most bytes of all names and values of the extended attributes of one file.
pub(crate) const XATTR_BYTES: usize = 1024 * 1024;
/// Most data in one record, in bytes.
pub(crate) const DATA: usize = 256 * 1024;
/// Largest encoded entry, in bytes: two paths, the attributes, and their framing.
pub(crate) const ENTRY: usize = 2 * PATH + XATTR_BYTES + XATTRS * 16 + 1024;

/// What a target accepts in one pass.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most entries.
    pub entries: u64,
    /// Most bytes of file data (holes do not count).
    pub bytes: u64,
}

impl Default for Limits {
    /// Fifty million entries; bytes are bounded by the space on the target alone.
    fn default() -> Self {
        Self {
            entries: 50_000_000,
            bytes: u64::MAX,
        }
    }
}
