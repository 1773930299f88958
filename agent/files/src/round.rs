//! A round between the base pass and the freeze: what has changed meanwhile, read while the processes go on.

use std::collections::HashSet;
use std::io::Write;
use std::time::SystemTime;

use crate::changes::Sender;
use crate::error::{Error, Result, shown};
use crate::manifest::{self, BaseManifest};
use crate::mapped::SharedMapped;
use crate::scan::scan;
use crate::source::Source;
use crate::stats::Stats;

/// Sends to `out` what has changed in `source` since the pass that gave `base`, while its processes run, so that less is left for
/// [`crate::write_delta`]; gives what that, or another round, has to compare with then. For plain trees.
///
/// `shared` are the files that they have mapped shared and writable, collected *before* this call.
/// `base` is of no use any more once the target has applied this. Errors: as [`crate::write_base`].
pub fn write_round<W: Write>(
    source: &Source,
    base: &BaseManifest,
    shared: &SharedMapped,
    out: &mut W,
) -> Result<BaseManifest> {
    let since = manifest::since(SystemTime::now());
    let mut mapped = HashSet::new();
    let found = scan(source, base, shared, true)?;
    let mut sender = Sender::begin(source, base, true, out)?;
    sender.all(&found)?;
    let (id, totals) = sender.out.end()?;
    let stats = Stats {
        entries: totals.entries,
        bytes: totals.bytes,
        files: sender.files,
        deleted: found.deletes.len() as u64,
        links: sender.links,
        vanished: found.stats.vanished + sender.gone.len() as u64,
        ..found.stats
    };
    let mut records = found.records;
    records.extend(
        sender
            .records
            .into_iter()
            .map(|(path, record)| (path.into_boxed_slice(), record)),
    );
    for path in sender.gone {
        // The target has what it had: whatever is there next time is something else.
        match base.records.get(path.as_slice()) {
            Some(record) => records.insert(path.into(), record.doubted()),
            None => records.remove(path.as_slice()),
        };
    }
    if u32::try_from(records.len()).is_err() {
        return Err(Error::TooBig {
            what: "the number of files",
            path: shown(b""),
            limit: u64::from(u32::MAX),
        });
    }
    for ((path, record), index) in records.iter_mut().zip(0_u32..) {
        record.index = index;
        if shared.covers_record(path, record.id()) {
            mapped.insert(record.id());
        }
    }
    Ok(BaseManifest {
        since,
        id,
        records,
        mapped,
        stats,
    })
}
