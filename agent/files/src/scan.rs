//! Comparing a tree with what the passes before have seen of it.

use std::collections::{BTreeMap, HashMap};

use crate::beneath;
use crate::content::Print;
use crate::emit::{self, Class, Cover, Keep};
use crate::error::{Error, Result};
use crate::manifest::{BaseManifest, Record, Was};
use crate::mapped::SharedMapped;
use crate::meta::Meta;
use crate::source::Source;
use crate::stats::Stats;
use crate::walk::{Descent, Found, View, Visitor, walk};

/// What the scan found at a path of the base pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Not,
    Other,
    /// A directory that the target keeps: what is missing in it must be deleted there.
    KeptDirectory,
}

/// How a file relates to what the target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The target has it at this path.
    Same,
    /// Not known at this path; the file itself may be known by another name.
    New,
    /// Changed, or possibly so.
    Dirty,
}

/// Something to be sent.
pub(crate) struct Change {
    pub path: Vec<u8>,
    /// The view in which its directory is read.
    pub view: View,
    pub replace: bool,
    /// Which file the scan saw, and whether that was a directory.
    pub id: (u64, u64),
    pub directory: bool,
    /// What the target does with what it has at that path.
    pub keep: Keep,
}

/// One name of a hard-linked file.
pub(crate) struct Member {
    pub change: Change,
    pub state: State,
    pub meta: Meta,
}

/// What a look at the whole tree has found.
pub(crate) struct Scan<'a> {
    source: &'a Source,
    base: &'a BaseManifest,
    shared: &'a SharedMapped,
    /// Processes write meanwhile.
    live: bool,
    seen: Vec<Seen>,
    pub deletes: Vec<Vec<u8>>,
    pub changes: Vec<Change>,
    pub groups: BTreeMap<(u64, u64), Vec<Member>>,
    /// If it is live: what is to be remembered of all that is not a change.
    pub records: HashMap<Box<[u8]>, Record>,
    pub stats: Stats,
}

/// Compares the tree with what the passes before have seen of it. `live`: while its processes run.
pub(crate) fn scan<'a>(
    source: &'a Source,
    base: &'a BaseManifest,
    shared: &'a SharedMapped,
    live: bool,
) -> Result<Scan<'a>> {
    let mut scan = Scan {
        source,
        base,
        shared,
        live,
        seen: vec![Seen::Not; base.records.len()],
        deletes: Vec::new(),
        changes: Vec::new(),
        groups: BTreeMap::new(),
        records: HashMap::new(),
        stats: Stats::default(),
    };
    walk(source, &mut scan)?;
    scan.missing();
    Ok(scan)
}

impl Scan<'_> {
    fn mark(&mut self, record: Option<&Record>, seen: Seen) {
        if let Some(slot) = record.and_then(|r| self.seen.get_mut(r.index as usize)) {
            *slot = seen;
        }
    }

    fn directory(&mut self, found: &Found<'_>, cover: Cover, record: Option<&Record>, same: bool) -> Descent {
        let known = record.is_some_and(|r| r.was == Was::Directory(cover));
        let replace = cover.hides() && !known && !found.path.is_empty();
        let fresh = found.fresh || replace;
        if !(same && known) || fresh {
            self.changes.push(Change {
                path: found.path.to_vec(),
                view: found.view,
                replace,
                id: found.meta.id,
                directory: true,
                keep: Keep::No,
            });
        }
        self.remember(found.path, || Record::new(0, Was::Directory(cover), &found.meta));
        self.mark(record, if fresh { Seen::Other } else { Seen::KeptDirectory });
        Descent {
            view: cover.view(found.view),
            fresh,
        }
    }

    fn state(&self, found: &Found<'_>, record: Option<&Record>) -> Result<State> {
        let meta = &found.meta;
        let mapped = meta.is_file()
            && (self.base.mapped.contains(&meta.id) || self.shared.covers(self.source, found.path, meta));
        if mapped || meta.ctime >= self.base.since {
            return Ok(State::Dirty);
        }
        let Some(record) = record.filter(|r| r.is_file(meta)) else {
            return Ok(State::New);
        };
        if !record.matches(meta) {
            return Ok(State::Dirty);
        }
        if meta.is_file() && !self.source.stamps_tell() {
            let Some(Print::Whole(was)) = record.print.as_deref() else {
                // Its blocks are compared while it is sent.
                return Ok(State::Dirty);
            };
            let now = emit::fingerprint(found.dir, found.name, found.path, meta.size)?;
            if *was != now {
                return Ok(State::Dirty);
            }
        }
        Ok(State::Same)
    }

    /// What the target does with the file that it has: it is kept where the base copy was made from this very file.
    fn keep(&self, found: &Found<'_>, record: Option<&Record>) -> Keep {
        let this = |record: &&Record| {
            record.was == Was::Other && record.is_file(&found.meta) && found.view == View::Layer
        };
        let Some(record) = record.filter(this).filter(|_| found.meta.is_file()) else {
            return Keep::No;
        };
        match &record.print {
            Some(print) if matches!(**print, Print::Blocks(_)) => Keep::Blocks(print.clone()),
            // In a layer nothing is mounted from a file that is not excluded.
            _ if self.source.marks().is_some() => Keep::No,
            _ => Keep::Whole,
        }
    }

    fn remember(&mut self, path: &[u8], record: impl FnOnce() -> Record) {
        if self.live {
            self.records.insert(path.into(), record());
        }
    }

    /// Lists what the base pass saw and this scan did not: only where the directory is still there; else it goes with that.
    fn missing(&mut self) {
        let kept = |path: &[u8]| {
            let parent = self.base.records.get(beneath::split(path).0);
            parent.and_then(|r| self.seen.get(r.index as usize)) == Some(&Seen::KeptDirectory)
        };
        let gone = |record: &Record| {
            // A whiteout that is gone hid nothing any more.
            record.was != Was::Whiteout && self.seen.get(record.index as usize) == Some(&Seen::Not)
        };
        let mut missing: Vec<Vec<u8>> = self
            .base
            .records
            .iter()
            .filter(|(path, r)| gone(r) && kept(path))
            .map(|(path, _)| path.to_vec())
            .collect();
        missing.sort_unstable();
        self.deletes.append(&mut missing);
    }
}

impl Visitor for Scan<'_> {
    fn visit(&mut self, found: &Found<'_>) -> Result<Option<Descent>> {
        self.stats.scanned += 1;
        let base = self.base;
        // What the base pass saw below a replaced directory is gone from the target.
        let record = if found.fresh {
            None
        } else {
            base.records.get(found.path)
        };
        let same = record.is_some_and(|r| r.matches(&found.meta)) && found.meta.ctime < base.since;
        let class = match record.map(|r| r.was) {
            Some(Was::Directory(cover)) if same => Class::Directory(cover),
            Some(Was::Other) if same => Class::Other { below: false },
            _ => {
                let inspected = emit::inspect(self.source, found)?;
                self.stats.flags_dropped += u64::from(inspected.flagged);
                inspected.class
            }
        };
        match class {
            Class::Whiteout => {
                if record.is_none_or(|r| r.was != Was::Whiteout) {
                    self.deletes.push(found.path.to_vec());
                }
                self.mark(record, Seen::Other);
                self.remember(found.path, || Record::new(0, Was::Whiteout, &found.meta));
                Ok(None)
            }
            Class::Directory(cover) => Ok(Some(self.directory(found, cover, record, same))),
            Class::Other { .. } => {
                let state = self.state(found, record)?;
                self.mark(record, Seen::Other);
                let change = Change {
                    path: found.path.to_vec(),
                    view: found.view,
                    replace: false,
                    id: found.meta.id,
                    directory: false,
                    keep: self.keep(found, record),
                };
                if let Some(record) = record.filter(|_| state == State::Same) {
                    self.remember(found.path, || record.clone());
                }
                if found.meta.nlink > 1 && found.view == View::Layer {
                    self.groups.entry(found.meta.id).or_default().push(Member {
                        change,
                        state,
                        meta: found.meta.clone(),
                    });
                } else if state != State::Same {
                    self.changes.push(change);
                }
                Ok(None)
            }
        }
    }

    fn lost(&mut self, error: Error) -> Result<()> {
        match error {
            error if !error.is_gone() => Err(error),
            _ if self.live => {
                self.stats.vanished += 1;
                Ok(())
            }
            Error::Read { path, .. } => Err(Error::ChangedWhileFrozen(path)),
            error => Err(error),
        }
    }

    fn behind_mount(&mut self) {
        self.stats.behind_mounts += 1;
    }
}
