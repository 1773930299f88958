//! What the base pass saw.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::content::Print;
use crate::emit::Cover;
use crate::meta::{Meta, Stamp};
use crate::stats::Stats;

/// How far a file's change time may lie behind the clock: file systems stamp with a coarse clock that advances once per
/// tick, 1 to 10 ms (`CONFIG_HZ` 1000 to 100). Twice the longest tick.
pub const CLOCK_SLACK: Duration = Duration::from_millis(20);

/// What the base pass, or the last round after it, saw of each path: about 100 bytes plus the path for each entry, and 16 bytes for each
/// 64 KiB of a big file, at most 1 MiB.
#[derive(Debug)]
pub struct BaseManifest {
    /// Changes at or after this are sent again, whatever the stamps say.
    pub(crate) since: Stamp,
    /// Closing hash of the stream of that pass.
    pub(crate) id: [u8; 32],
    pub(crate) records: HashMap<Box<[u8]>, Record>,
    /// Files that were mapped shared and writable when the base pass began.
    pub(crate) mapped: HashSet<(u64, u64)>,

    pub(crate) stats: Stats,
}

impl BaseManifest {
    /// Figures of the base pass.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Number of paths remembered.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True if the layer was empty: not even its root was seen.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// What was at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Was {
    Whiteout,
    Directory(Cover),
    Other,
}

/// One path of the base pass.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Position in the order of the scan, for the delta's list of what it saw.
    pub index: u32,
    pub was: Was,
    stamps: Stamps,
    /// For big files, and for all in trees whose stamps do not tell. One for all names of a file.
    pub print: Option<Arc<Print>>,
}

/// Which file it was, and in which state. Mode, owner, links and attributes move the change time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamps {
    id: (u64, u64),
    size: u64,
    mtime: i64,
    ctime: i64,
}

impl From<&Meta> for Stamps {
    fn from(meta: &Meta) -> Self {
        Self {
            id: meta.id,
            size: meta.size,
            mtime: packed(meta.mtime),
            ctime: packed(meta.ctime),
        }
    }
}

impl Record {
    pub(crate) fn new(index: u32, was: Was, meta: &Meta) -> Self {
        Self {
            index,
            was,
            stamps: meta.into(),
            print: None,
        }
    }

    pub(crate) fn with_print(self, print: Option<Arc<Print>>) -> Self {
        Self { print, ..self }
    }

    /// The same file in a state that none will be found in again.
    pub(crate) fn doubted(&self) -> Self {
        let mut doubted = self.clone();
        doubted.stamps.ctime = i64::MIN;
        doubted
    }

    /// Device and inode number of the file.
    pub(crate) fn id(&self) -> (u64, u64) {
        self.stamps.id
    }

    /// True if `meta` describes the same file in the same state.
    pub(crate) fn matches(&self, meta: &Meta) -> bool {
        self.is_file(meta) && self.stamps == meta.into()
    }

    /// True if `meta` describes the same file, in whatever state.
    pub(crate) fn is_file(&self, meta: &Meta) -> bool {
        self.stamps.id == meta.id
            && matches!(self.was, Was::Directory(_)) == meta.is_dir()
            && self.was != Was::Whiteout
    }
}

/// Nanoseconds since the epoch; wraps for years beyond 2262, which equality does not mind.
fn packed(stamp: Stamp) -> i64 {
    stamp
        .0
        .wrapping_mul(1_000_000_000)
        .wrapping_add(i64::from(stamp.1))
}

/// The stamp from which on changes count, for a pass that begins `now`.
pub(crate) fn since(now: SystemTime) -> Stamp {
    let since_epoch = now
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .saturating_sub(CLOCK_SLACK);
    (
        i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX),
        since_epoch.subsec_nanos(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slack_reaches_back_over_the_second() {
        assert_eq!(since(UNIX_EPOCH + Duration::new(5, 10_000_000)), (4, 990_000_000));
        assert_eq!(since(UNIX_EPOCH), (0, 0));
    }

    #[test]
    fn a_record_stays_small() {
        assert!(
            size_of::<(Box<[u8]>, Record)>() <= 96,
            "the documentation promises about 100 bytes"
        );
    }
}
