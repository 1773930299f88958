//! Figures of one pass.

/// What one pass wrote or applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Entries of all kinds in the stream.
    pub entries: u64,
    /// Regular files whose content is in the stream.
    pub files: u64,
    /// Bytes of file content, without holes.
    pub bytes: u64,
    /// Paths deleted.
    pub deleted: u64,
    /// Hard links made.
    pub links: u64,
    /// Entries seen by the scan (source), sent or not; 0 at the target.
    pub scanned: u64,
    /// Entries left out because a mount point is in the way.
    pub behind_mounts: u64,
    /// Files with the immutable or append-only flag, which does not travel.
    pub flags_dropped: u64,
    /// Entries that vanished while the base pass read them; the delta settles them.
    pub vanished: u64,
}
