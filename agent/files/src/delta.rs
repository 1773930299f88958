//! The delta pass: what changed since the passes before, read while the container is frozen.

use std::io::Write;

use crate::changes::Sender;
use crate::error::Result;
use crate::manifest::BaseManifest;
use crate::mapped::SharedMapped;
use crate::scan::scan;
use crate::source::Source;
use crate::stats::Stats;

/// Sends to `out` what has changed in `source` since the pass that gave `base`, while all its processes are frozen.
///
/// `shared` are the files that they have mapped shared and writable now. The whole tree is scanned, but only changed
/// files are opened (in memory-backed trees every file is read, for their stamps do not tell). Of big files those that changed are read,
/// and the blocks that differ are sent.
/// Errors: as [`crate::write_base`], and [`crate::Error::ChangedWhileFrozen`] if something moved.
pub fn write_delta<W: Write>(
    source: &Source,
    base: &BaseManifest,
    shared: &SharedMapped,
    out: &mut W,
) -> Result<Stats> {
    let found = scan(source, base, shared, false)?;
    let mut sender = Sender::begin(source, base, false, out)?;
    sender.all(&found)?;
    let (_, totals) = sender.out.end()?;
    Ok(Stats {
        entries: totals.entries,
        bytes: totals.bytes,
        files: sender.files,
        deleted: found.deletes.len() as u64,
        links: sender.links,
        ..found.stats
    })
}
