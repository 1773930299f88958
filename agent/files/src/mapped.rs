//! Files that processes write through shared memory maps.
//!
//! `/proc/PID/maps` shows for a file on overlayfs sometimes the overlay's device and inode number, sometimes the
//! layer's (it changed between kernels), but always the path as the container sees it. So paths are matched, relative to its root.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;

use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::meta::Meta;
use crate::source::Source;

const DELETED: &[u8] = b" (deleted)";

/// Paths, relative to a root, that processes have mapped shared and writable.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SharedMapped {
    paths: HashSet<Box<[u8]>>,
    /// Files known by device and inode number as processes see them: those mapped by a name that is gone, but which have others, or all.
    hidden: HashSet<(u64, u64)>,
}

impl SharedMapped {
    /// Nothing is mapped.
    pub fn none() -> Self {
        Self::default()
    }

    /// Collects from `/proc/PID/maps` of `pids`, all processes of the container; one that has ended is passed over.
    ///
    /// Paths are relative to the root of the processes' mount namespace. Errors: [`Error::Read`] if maps cannot be read.
    pub fn collect(pids: impl IntoIterator<Item = u32>) -> Result<Self> {
        let mut this = Self::default();
        for pid in pids {
            let path = format!("/proc/{pid}/maps");
            match this.add_process(pid, &path) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) if e.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
                other => other.map_err(|e| Error::read("read", path.as_bytes(), e))?,
            }
        }
        Ok(this)
    }

    /// The same by device and inode number instead of path: for trees that are mounted at many places, and in part.
    ///
    /// For file systems that show a process the numbers that [`Source`] sees, as all do but layers of an overlay.
    /// Errors: as [`Self::collect`], also if `/proc/PID/map_files` may not be read.
    pub fn collect_files(pids: impl IntoIterator<Item = u32>) -> Result<Self> {
        let mut this = Self::default();
        for pid in pids {
            let path = format!("/proc/{pid}/maps");
            match this.add_files(pid, &path) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) if e.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => {}
                other => other.map_err(|e| Error::read("read", path.as_bytes(), e))?,
            }
        }
        Ok(this)
    }

    fn add_files(&mut self, pid: u32, path: &str) -> std::io::Result<()> {
        let mut reader = BufReader::new(File::open(path)?);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            if let Some((range, _)) = shared_writable(&line) {
                self.hidden.extend(elsewhere(pid, &range)?);
            }
            line.clear();
        }
        Ok(())
    }

    fn add_process(&mut self, pid: u32, path: &str) -> std::io::Result<()> {
        let mut reader = BufReader::new(File::open(path)?);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            if let Some((range, path)) = shared_writable(&line) {
                match path.strip_suffix(DELETED) {
                    None => self.add(&path),
                    Some(_) => self.hidden.extend(elsewhere(pid, &range)?),
                }
            }
            line.clear();
        }
        Ok(())
    }

    /// Adds one path relative to the root (a leading slash is ignored).
    pub fn add(&mut self, path: &[u8]) {
        self.paths.insert(path.strip_prefix(b"/").unwrap_or(path).into());
    }

    /// The same seen from the directory `mount` of the root, such as `/dev/shm`: for trees that are mounted there.
    #[must_use]
    pub fn under(&self, mount: &Path) -> Self {
        let mut prefix = mount.as_os_str().as_bytes();
        while let Some(rest) = prefix.strip_prefix(b"/") {
            prefix = rest;
        }
        let inside = |path: &[u8]| path.strip_prefix(prefix)?.strip_prefix(b"/").map(Into::into);
        Self {
            paths: self.paths.iter().filter_map(|p| inside(p)).collect(),
            hidden: self.hidden.clone(),
        }
    }

    /// Adds what another collection holds.
    pub fn extend(&mut self, other: Self) {
        self.paths.extend(other.paths);
        self.hidden.extend(other.hidden);
    }

    /// True if the file of a plain tree that was at `path`, with this device and inode number, is one of these.
    pub(crate) fn covers_record(&self, path: &[u8], id: (u64, u64)) -> bool {
        self.paths.contains(path) || self.hidden.contains(&id)
    }

    /// True if the regular file at `path` of `source` may be one of these.
    pub(crate) fn covers(&self, source: &Source, path: &[u8], meta: &Meta) -> bool {
        if self.paths.contains(path) {
            return true;
        }
        // Rare, and then worth a look at each file: on overlayfs processes may see another inode number than the layer's.
        !self.hidden.is_empty()
            && (self.hidden.contains(&meta.id)
                || source
                    .seen_id(path, meta)
                    .is_none_or(|id| self.hidden.contains(&id)))
    }
}

/// Address range and path of a line of `maps`, if the mapping is shared, writable and of a file.
fn shared_writable(line: &[u8]) -> Option<(String, Vec<u8>)> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    // address perms offset dev inode   path
    let mut fields = line.splitn(6, |&b| b == b' ');
    let range = String::from_utf8(fields.next()?.to_vec()).ok()?;
    let perms = fields.next()?;
    if perms.get(1) != Some(&b'w') || perms.get(3) != Some(&b's') {
        return None;
    }
    let path = fields.nth(3)?.trim_ascii_start();
    path.starts_with(b"/").then(|| (range, unescaped(path)))
}

/// The kernel writes a newline in a path as `\012` and nothing else escaped.
fn unescaped(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"\\012") {
            plain.push(b'\n');
            rest = after;
        } else {
            plain.push(first);
            rest = after;
        }
    }
    plain
}

/// An address range of `maps`, which fills addresses up with zeros, as `map_files` wants it, which takes none.
fn bare(range: &str) -> String {
    let ends: Vec<&str> = range.split('-').map(|end| end.trim_start_matches('0')).collect();
    ends.join("-")
}

/// The file mapped at `range`, whose name there is gone, if it has other names.
///
/// `/proc/PID/map_files` wants `CAP_CHECKPOINT_RESTORE` or `CAP_SYS_ADMIN` (`proc_pid_map_files(5)`), as CRIU does.
fn elsewhere(pid: u32, range: &str) -> std::io::Result<Option<(u64, u64)>> {
    let path = format!("/proc/{pid}/map_files/{}", bare(range));
    let meta = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .and_then(|fd| Meta::at(fd, b""));
    match meta {
        Ok(meta) => Ok((meta.nlink > 0).then_some(meta.id)),
        // Unmapped since.
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shared_and_writable_maps_of_files_count() {
        let path = |line: &str| shared_writable(line.as_bytes()).map(|(_, p)| String::from_utf8(p).unwrap());
        let line = |perms: &str, path: &str| {
            format!("7f00-7f10 {perms} 00000000 00:31 1234                       {path}\n")
        };
        assert_eq!(path(&line("rw-s", "/data/a b")).as_deref(), Some("/data/a b"));
        assert_eq!(path(&line("-w-s", "/a")).as_deref(), Some("/a"));
        assert_eq!(path(&line("rw-s", "/a\\012b")).as_deref(), Some("/a\nb"));
        assert_eq!(path(&line("r--s", "/a")), None);
        assert_eq!(path(&line("rw-p", "/a")), None);
        assert_eq!(path(&line("rw-s", "")), None);
        assert_eq!(path("garbage"), None);
        assert_eq!(path(""), None);
    }

    #[test]
    fn low_addresses_are_found() {
        assert_eq!(bare("00400000-00401000"), "400000-401000");
        assert_eq!(bare("7f5500000000-7f5500001000"), "7f5500000000-7f5500001000");
    }

    #[test]
    fn a_prefix_ends_at_a_slash() {
        let mut all = SharedMapped::none();
        for path in ["/dev/shm/x", "/dev/shmoo", "/dev/shm"] {
            all.add(path.as_bytes());
        }
        let mut inside = SharedMapped::none();
        inside.add(b"x");
        assert_eq!(all.under(Path::new("/dev/shm")), inside);
    }

    #[test]
    fn a_process_that_is_gone_is_passed_over() {
        assert_eq!(SharedMapped::collect([u32::MAX]).unwrap(), SharedMapped::none());
    }
}
