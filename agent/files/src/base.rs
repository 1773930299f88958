//! The base pass: everything, read while the container runs.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::sync::Arc;
use std::time::SystemTime;

use crate::content::Print;
use crate::emit::{self, Class, Keep};
use crate::error::{Error, Result, shown};
use crate::frame::StreamWriter;
use crate::manifest::{self, BaseManifest, Record, Was};
use crate::mapped::SharedMapped;
use crate::source::Source;
use crate::stats::Stats;
use crate::walk::{Descent, Found, View, Visitor, walk};
use crate::wire::Header;

/// Sends all of `source` to `out`, while its processes run, and remembers what it saw for [`crate::write_delta`].
///
/// `shared` are the files that they have mapped shared and writable, collected *before* this call.
/// Files that change or vanish meanwhile are no error; the delta settles them.
/// Errors: [`Error::Read`], [`Error::Stream`], [`Error::TooBig`], [`Error::NeedsMerged`].
pub fn write_base<W: Write>(source: &Source, shared: &SharedMapped, out: &mut W) -> Result<BaseManifest> {
    let since = manifest::since(SystemTime::now());
    let mut base = Base {
        source,
        shared,
        out: StreamWriter::begin(out, &Header::default())?,
        records: HashMap::new(),
        mapped: HashSet::new(),
        leaders: HashMap::new(),
        stats: Stats::default(),
    };
    walk(source, &mut base)?;
    let Base {
        out,
        records,
        mapped,
        mut stats,
        ..
    } = base;
    let (id, totals) = out.end()?;
    stats.entries = totals.entries;
    stats.bytes = totals.bytes;
    Ok(BaseManifest {
        since,
        id,
        records,
        mapped,
        stats,
    })
}

/// The path under which a hard-linked file was sent, and what is remembered of its content.
type Leader = (Box<[u8]>, Option<Arc<Print>>);

struct Base<'a, W> {
    source: &'a Source,
    shared: &'a SharedMapped,
    out: StreamWriter<W>,
    records: HashMap<Box<[u8]>, Record>,
    mapped: HashSet<(u64, u64)>,
    leaders: HashMap<(u64, u64), Leader>,
    stats: Stats,
}

impl<W: Write> Base<'_, W> {
    fn remember(&mut self, path: &[u8], record: Record) {
        self.records.insert(path.into(), record);
    }

    fn other(
        &mut self,
        index: u32,
        found: &Found<'_>,
        inspected: emit::Inspected,
        below: bool,
    ) -> Result<()> {
        let meta = &found.meta;
        // In the merged view equal inode numbers do not mean that a write to one is seen in the other.
        let linked = meta.nlink > 1 && found.view == View::Layer;
        if meta.is_file() && self.shared.covers(self.source, found.path, meta) {
            self.mapped.insert(meta.id);
        }
        if linked && let Some((leader, print)) = self.leaders.get(&meta.id) {
            let record = Record::new(index, Was::Other, meta).with_print(print.clone());
            emit::hard_link(found.path, leader, &mut self.out)?;
            self.stats.links += 1;
            self.remember(found.path, record);
            return Ok(());
        }
        let sent = emit::other(
            self.source,
            found,
            inspected.xattrs,
            below,
            (false, &Keep::No),
            &mut self.out,
        )?;
        self.stats.files += u64::from(meta.is_file());
        let print = sent.print.map(Arc::new);
        if linked && sent.meta.id == meta.id {
            self.leaders.insert(meta.id, (found.path.into(), print.clone()));
        }
        let record = Record::new(index, Was::Other, &sent.meta).with_print(print);
        self.remember(found.path, record);
        Ok(())
    }
}

impl<W: Write> Visitor for Base<'_, W> {
    fn visit(&mut self, found: &Found<'_>) -> Result<Option<Descent>> {
        let index = u32::try_from(self.records.len()).map_err(|_| Error::TooBig {
            what: "the number of files",
            path: shown(found.path),
            limit: u64::from(u32::MAX),
        })?;
        self.stats.scanned += 1;
        let inspected = emit::inspect(self.source, found)?;
        self.stats.flags_dropped += u64::from(inspected.flagged);
        match inspected.class {
            Class::Whiteout => {
                emit::delete(found.path, &mut self.out)?;
                self.stats.deleted += 1;
                self.remember(found.path, Record::new(index, Was::Whiteout, &found.meta));
                Ok(None)
            }
            Class::Directory(cover) => {
                let replace = cover.hides() && !found.path.is_empty();
                emit::directory(found, inspected.xattrs, replace, &mut self.out)?;
                self.remember(found.path, Record::new(index, Was::Directory(cover), &found.meta));
                Ok(Some(Descent {
                    view: cover.view(found.view),
                    fresh: false,
                }))
            }
            Class::Other { below } => self.other(index, found, inspected, below).map(|()| None),
        }
    }

    fn lost(&mut self, error: Error) -> Result<()> {
        if !error.is_gone() {
            return Err(error);
        }
        self.stats.vanished += 1;
        Ok(())
    }

    fn behind_mount(&mut self) {
        self.stats.behind_mounts += 1;
    }
}
