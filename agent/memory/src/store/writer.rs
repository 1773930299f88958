//! The writing side.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::fcntl::{FallocateFlags, fallocate};

use super::{StoreError, pages_path};
use crate::page_set::ProcessPages;
use crate::range::{PAGE, PAGE_BYTES, PageRange};

/// No container has more processes.
const MAX_PROCESSES: usize = 65_536;
/// No process has more chunks of 2 MiB: 2 TiB of memory, or about 90 MiB of bits.
const MAX_CHUNKS: usize = 1 << 20;
/// No address is higher.
const MAX_ADDRESS: u64 = 1 << 57;
/// No single piece is longer: 1 TiB, so that a hostile range of zeros cannot keep anyone busy.
const MAX_PIECE: u64 = 1 << 40;

/// Pages of the processes of one container. May be written by several threads at once, as long as no two write the same page.
#[derive(Debug)]
pub struct Store {
    dir: PathBuf,
    processes: Mutex<HashMap<i32, Arc<Process>>>,
}

#[derive(Debug)]
struct Process {
    path: PathBuf,
    file: File,
    presence: Mutex<ProcessPages>,
}

impl Store {
    /// A store in the directory, which is made (0700) if it is missing and should be empty: what has come is known only to this value.
    pub fn create(dir: &Path) -> Result<Self, StoreError> {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|source| StoreError::io("create", dir, source))?;
        Ok(Self {
            dir: dir.to_path_buf(),
            processes: Mutex::default(),
        })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps whole pages of a process; what was there is overwritten. `data` is a multiple of [`PAGE`] long.
    ///
    /// Fails with `NoSpace` if the file system is full; pages written so far remain.
    pub fn write(&self, ns_pid: i32, vaddr: u64, data: &[u8]) -> Result<(), StoreError> {
        let range = range(vaddr, data.len() as u64)?;
        let process = self.process(ns_pid)?;
        process
            .file
            .write_all_at(data, vaddr)
            .map_err(|source| StoreError::io("write", &process.path, source))?;
        process.arrived(range).map(drop)
    }

    /// Keeps pages of zeros: holes in the file.
    pub fn zero(&self, ns_pid: i32, range: PageRange) -> Result<(), StoreError> {
        let bytes = range.pages.checked_mul(PAGE).unwrap_or(0);
        let range = self::range(range.start, bytes)?;
        let process = self.process(ns_pid)?;
        if process.arrived(range)? {
            // Something may be there already.
            punch(&process.file, range).map_err(|source| StoreError::io("punch", &process.path, source))?;
        }
        Ok(())
    }

    /// Keeps a page that is the same as another one is now, perhaps of another process.
    pub fn copy(&self, ns_pid: i32, vaddr: u64, from: (i32, u64)) -> Result<(), StoreError> {
        let source = range(from.1, PAGE)?;
        let origin = self
            .lock()
            .get(&from.0)
            .cloned()
            .ok_or(StoreError::NoProcess { ns_pid: from.0 })?;
        let mut gone = Vec::new();
        lock(&origin.presence).missing(source, &mut gone);
        if !gone.is_empty() {
            return Err(StoreError::NoProcess { ns_pid: from.0 });
        }
        let mut page = [0; PAGE_BYTES];
        read_padded(&origin.file, &mut page, from.1)
            .map_err(|source| StoreError::io("read", &origin.path, source))?;
        self.write(ns_pid, vaddr, &page)
    }

    /// Reads one page as it is in the store (zeros if it is absent or a hole).
    pub fn read(&self, ns_pid: i32, vaddr: u64, page: &mut [u8; PAGE_BYTES]) -> Result<(), StoreError> {
        range(vaddr, PAGE)?;
        let process = self
            .lock()
            .get(&ns_pid)
            .cloned()
            .ok_or(StoreError::NoProcess { ns_pid })?;
        read_padded(&process.file, page, vaddr)
            .map_err(|source| StoreError::io("read", &process.path, source))
    }

    /// The parts of the ranges that have not come; all of them for an unknown process.
    pub fn missing(&self, ns_pid: i32, ranges: &[PageRange]) -> Vec<PageRange> {
        let Some(process) = self.lock().get(&ns_pid).cloned() else {
            return ranges.to_vec();
        };
        let presence = lock(&process.presence);
        let mut gone = Vec::new();
        for range in ranges {
            presence.missing(*range, &mut gone);
        }
        gone
    }

    fn process(&self, ns_pid: i32) -> Result<Arc<Process>, StoreError> {
        let mut processes = self.lock();
        if let Some(process) = processes.get(&ns_pid) {
            return Ok(Arc::clone(process));
        }
        if ns_pid <= 0 || processes.len() >= MAX_PROCESSES {
            return Err(StoreError::TooMuch { what: "processes" });
        }
        let path = pages_path(&self.dir, ns_pid);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path)
            .map_err(|source| StoreError::io("create", &path, source))?;
        let process = Arc::new(Process {
            path,
            file,
            presence: Mutex::default(),
        });
        processes.insert(ns_pid, Arc::clone(&process));
        Ok(process)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Arc<Process>>> {
        lock(&self.processes)
    }
}

impl Process {
    /// Gives whether some of the pages had come before.
    fn arrived(&self, range: PageRange) -> Result<bool, StoreError> {
        lock(&self.presence)
            .insert(range, MAX_CHUNKS)
            .ok_or(StoreError::TooMuch { what: "memory" })
    }
}

/// Gives the memory of pages back.
pub(super) fn punch(file: &File, range: PageRange) -> std::io::Result<()> {
    let (Ok(start), Ok(bytes)) = (i64::try_from(range.start), i64::try_from(range.bytes())) else {
        return Err(std::io::ErrorKind::InvalidInput.into());
    };
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    fallocate(file.as_fd(), flags, start, bytes).map_err(Into::into)
}

fn read_padded(file: &File, page: &mut [u8], at: u64) -> std::io::Result<()> {
    let mut done = 0;
    while done < page.len() {
        match file.read_at(&mut page[done..], at + done as u64) {
            // Behind the end of the file everything is a hole.
            Ok(0) => {
                page[done..].fill(0);
                break;
            }
            Ok(read) => done += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn range(start: u64, bytes: u64) -> Result<PageRange, StoreError> {
    let inside = start.checked_add(bytes).is_some_and(|end| end <= MAX_ADDRESS);
    if !inside
        || bytes == 0
        || bytes > MAX_PIECE
        || !start.is_multiple_of(PAGE)
        || !bytes.is_multiple_of(PAGE)
    {
        return Err(StoreError::Address { start, bytes });
    }
    Ok(PageRange {
        start,
        pages: bytes / PAGE,
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
