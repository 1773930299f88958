//! Sending what has changed.

use std::collections::HashSet;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::beneath;
use crate::emit::{self, Class, Keep};
use crate::error::{Error, Result, shown};
use crate::frame::StreamWriter;
use crate::manifest::{BaseManifest, Record, Was};
use crate::meta::Meta;
use crate::scan::{Change, Member, Scan, State};
use crate::source::Source;
use crate::walk::{Found, View, locate, open};
use crate::wire::Header;

/// A directory that was opened last: changes come in the order of the walk.
struct Opened {
    path: Vec<u8>,
    view: View,
    dir: OwnedFd,
    layer: Option<OwnedFd>,
}

/// Sends what a scan has found.
pub(crate) struct Sender<'a, W> {
    source: &'a Source,
    open: Option<Opened>,
    pub out: StreamWriter<W>,
    /// Processes write meanwhile.
    live: bool,
    pub files: u64,
    pub links: u64,
    /// If it is live: what is to be remembered of what was sent.
    pub records: Vec<(Vec<u8>, Record)>,
    /// Paths that were gone when it was their turn.
    pub gone: Vec<Vec<u8>>,
    /// Directories of the scan that the target does not have: nothing can be sent below them.
    broken: HashSet<Vec<u8>>,
}

impl<'a, W: Write> Sender<'a, W> {
    pub(crate) fn begin(source: &'a Source, base: &BaseManifest, live: bool, out: W) -> Result<Self> {
        let header = Header {
            base: base.id.to_vec(),
        };
        Ok(Self {
            source,
            open: None,
            out: StreamWriter::begin(out, &header)?,
            live,
            files: 0,
            links: 0,
            records: Vec::new(),
            gone: Vec::new(),
            broken: HashSet::new(),
        })
    }

    /// All of it. Deletions come first: they make room.
    pub(crate) fn all(&mut self, scan: &Scan<'_>) -> Result<()> {
        for path in &scan.deletes {
            emit::delete(path, &mut self.out)?;
        }
        for change in &scan.changes {
            self.send(change)?;
        }
        for group in scan.groups.values() {
            self.group(group)?;
        }
        Ok(())
    }

    /// Sends one change; gives which file it was, or `None` if it is gone, which only a live tree allows.
    fn send(&mut self, change: &Change) -> Result<Option<(u64, u64)>> {
        if self.is_below_broken(&change.path) {
            self.gone.push(change.path.clone());
            return Ok(None);
        }
        let before = self.out.entries();
        match self.send_now(change) {
            // What has begun in the stream has to be whole.
            Err(error) if self.live && error.is_gone() && self.out.entries() == before => {
                self.gone.push(change.path.clone());
                if change.directory {
                    self.broken.insert(change.path.clone());
                }
                Ok(None)
            }
            other => other.map(Some),
        }
    }

    fn is_below_broken(&self, path: &[u8]) -> bool {
        let mut parent = path;
        while !self.broken.is_empty() && !parent.is_empty() {
            parent = beneath::split(parent).0;
            if self.broken.contains(parent) {
                return true;
            }
        }
        false
    }

    fn send_now(&mut self, change: &Change) -> Result<(u64, u64)> {
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
        let (id, record) = match inspected.class {
            Class::Whiteout => return Err(moved()),
            Class::Directory(cover) => {
                emit::directory(&found, inspected.xattrs, change.replace, &mut self.out)?;
                (found.meta.id, Record::new(0, Was::Directory(cover), &found.meta))
            }
            Class::Other { below } => {
                let keep = if below || found.meta.id != change.id {
                    &Keep::No
                } else {
                    &change.keep
                };
                let how = (!self.live, keep);
                let sent = emit::other(self.source, &found, inspected.xattrs, below, how, &mut self.out)?;
                self.files += u64::from(sent.meta.is_file());
                if change.directory {
                    // It has become something else since the scan.
                    self.broken.insert(change.path.clone());
                }
                let record = Record::new(0, Was::Other, &sent.meta).with_print(sent.print.map(Arc::new));
                (sent.meta.id, record)
            }
        };
        if self.live {
            self.records.push((change.path.clone(), record));
        }
        self.open = Some(opened);
        Ok(id)
    }

    /// Sends the names of one file.
    fn group(&mut self, members: &[Member]) -> Result<()> {
        let dirty = members.iter().any(|m| m.state == State::Dirty);
        let known = members.iter().position(|m| !dirty && m.state == State::Same);
        let kept = members.iter().position(|m| !matches!(m.change.keep, Keep::No));
        let leader = known.or(kept).unwrap_or(0);
        let Some(first) = members.get(leader) else {
            return Ok(());
        };
        let print = if known.is_some() {
            None
        } else {
            let sent = self.send(&first.change)?;
            if sent != Some(first.change.id) {
                if !self.live {
                    return Err(Error::ChangedWhileFrozen(shown(&first.change.path)));
                }
                // Another file is there by now, or none: the next pass sees what has become of the names.
                let others = members.iter().filter(|m| m.change.path != first.change.path);
                self.gone.extend(others.map(|m| m.change.path.clone()));
                return Ok(());
            }
            self.records.last().and_then(|(_, record)| record.print.clone())
        };
        for (at, member) in members.iter().enumerate() {
            if at != leader && self.is_below_broken(&member.change.path) {
                self.gone.push(member.change.path.clone());
            } else if at != leader && (dirty || member.state != State::Same) {
                emit::hard_link(&member.change.path, &first.change.path, &mut self.out)?;
                self.links += 1;
                if self.live {
                    let record = Record::new(0, Was::Other, &member.meta).with_print(print.clone());
                    self.records.push((member.change.path.clone(), record));
                }
            }
        }
        Ok(())
    }
}
