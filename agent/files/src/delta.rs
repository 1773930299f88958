//! The delta pass: what changed since the base pass, read while the container is frozen.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use crate::beneath;
use crate::emit::{self, Class, Cover};
use crate::error::{Error, Result, shown};
use crate::frame::StreamWriter;
use crate::manifest::{BaseManifest, Record, Was};
use crate::mapped::SharedMapped;
use crate::meta::Meta;
use crate::source::Source;
use crate::stats::Stats;
use crate::walk::{Descent, Found, View, Visitor, locate, open, walk};
use crate::wire::Header;

/// Sends to `out` what has changed in `source` since the base pass that gave `base`, while all its processes are frozen.
///
/// `shared` are the files that they have mapped shared and writable now. The whole tree is scanned, but only changed
/// files are opened (in memory-backed trees every file is read, for their stamps do not tell).
/// Errors: as [`crate::write_base`], and [`Error::ChangedWhileFrozen`] if something moved.
pub fn write_delta<W: Write>(
    source: &Source,
    base: &BaseManifest,
    shared: &SharedMapped,
    out: &mut W,
) -> Result<Stats> {
    let mut scan = Scan {
        source,
        base,
        shared,
        seen: vec![Seen::Not; base.records.len()],
        deletes: Vec::new(),
        changes: Vec::new(),
        groups: BTreeMap::new(),
        stats: Stats::default(),
    };
    walk(source, &mut scan)?;
    scan.missing();
    let Scan {
        deletes,
        changes,
        groups,
        mut stats,
        ..
    } = scan;

    let mut sender = Sender {
        source,
        open: None,
        out: StreamWriter::begin(
            out,
            &Header {
                base: base.id.to_vec(),
            },
        )?,
        files: 0,
    };
    // Deletions first: they make room.
    for path in &deletes {
        emit::delete(path, &mut sender.out)?;
    }
    for change in &changes {
        sender.send(change)?;
    }
    for group in groups.values() {
        stats.links += sender.group(group)?;
    }
    let (_, totals) = sender.out.end()?;
    Ok(Stats {
        entries: totals.entries,
        bytes: totals.bytes,
        files: sender.files,
        deleted: deletes.len() as u64,
        ..stats
    })
}

/// What the scan found at a path of the base pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Not,
    Other,
    /// A directory that the target keeps: what is missing in it must be deleted there.
    KeptDirectory,
}

/// How a file relates to what the target has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The target has it at this path.
    Same,
    /// Not known at this path; the file itself may be known by another name.
    New,
    /// Changed, or possibly so.
    Dirty,
}

/// Something to be sent.
struct Change {
    path: Vec<u8>,
    /// The view in which its directory is read.
    view: View,
    replace: bool,
}

/// One name of a hard-linked file.
struct Member {
    change: Change,
    state: State,
}

struct Scan<'a> {
    source: &'a Source,
    base: &'a BaseManifest,
    shared: &'a SharedMapped,
    seen: Vec<Seen>,
    deletes: Vec<Vec<u8>>,
    changes: Vec<Change>,
    groups: BTreeMap<(u64, u64), Vec<Member>>,
    stats: Stats,
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
            });
        }
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
            let now = emit::fingerprint(found.dir, found.name, found.path, meta.size)?;
            if record.fingerprint.as_deref() != Some(&now) {
                return Ok(State::Dirty);
            }
        }
        Ok(State::Same)
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
                };
                if found.meta.nlink > 1 && found.view == View::Layer {
                    self.groups
                        .entry(found.meta.id)
                        .or_default()
                        .push(Member { change, state });
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
            Error::Read { path, .. } => Err(Error::ChangedWhileFrozen(path)),
            error => Err(error),
        }
    }

    fn behind_mount(&mut self) {
        self.stats.behind_mounts += 1;
    }
}

/// A directory that was opened last: changes come in the order of the walk.
struct Opened {
    path: Vec<u8>,
    view: View,
    dir: OwnedFd,
    layer: Option<OwnedFd>,
}

struct Sender<'a, W> {
    source: &'a Source,
    open: Option<Opened>,
    out: StreamWriter<W>,
    files: u64,
}

impl<W: Write> Sender<'_, W> {
    fn send(&mut self, change: &Change) -> Result<()> {
        let path = change.path.as_slice();
        let moved = || Error::ChangedWhileFrozen(shown(path));
        let (parent, name) = beneath::split(path);
        let opened = match self.open.take() {
            Some(opened) if opened.path == parent && opened.view == change.view => opened,
            _ => {
                let (dir, layer) = open(self.source, parent, change.view)?;
                Opened {
                    path: parent.to_vec(),
                    view: change.view,
                    dir,
                    layer,
                }
            }
        };
        let layer = opened.layer.as_ref().map(AsFd::as_fd);
        let (dir, meta, view) = if path.is_empty() {
            (
                self.source.root(),
                Meta::at(self.source.root(), b"").map_err(|e| Error::read("inspect", path, e))?,
                View::Layer,
            )
        } else {
            locate(self.source, opened.dir.as_fd(), layer, name, change.view)
                .map_err(|e| Error::read("inspect", path, e))?
        };
        let found = Found {
            path,
            dir,
            name,
            meta,
            view,
            fresh: false,
        };
        let inspected = emit::inspect(self.source, &found)?;
        match inspected.class {
            Class::Whiteout => return Err(moved()),
            Class::Directory(_) => emit::directory(&found, inspected.xattrs, change.replace, &mut self.out)?,
            Class::Other { below } => {
                emit::other(self.source, &found, inspected.xattrs, below, true, &mut self.out)?;
                self.files += u64::from(found.meta.is_file());
            }
        }
        self.open = Some(opened);
        Ok(())
    }

    /// Sends the names of one file; gives how many links were needed.
    fn group(&mut self, members: &[Member]) -> Result<u64> {
        let dirty = members.iter().any(|m| m.state == State::Dirty);
        let known = members.iter().position(|m| !dirty && m.state == State::Same);
        let leader = known.unwrap_or(0);
        let Some(first) = members.get(leader) else {
            return Ok(0);
        };
        if known.is_none() {
            self.send(&first.change)?;
        }
        let mut links = 0;
        for (at, member) in members.iter().enumerate() {
            if at != leader && (dirty || member.state != State::Same) {
                emit::hard_link(&member.change.path, &first.change.path, &mut self.out)?;
                links += 1;
            }
        }
        Ok(links)
    }
}
