//! The reading side.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

use super::writer::punch;
use super::{StoreError, pages_path};
use crate::range::{PAGE, PAGE_BYTES, PageRange};

/// Bytes that are mapped at once: many chunks, but few page tables.
const WINDOW: u64 = 64 * 1024 * 1024;

/// The pages of one process in a store that is complete.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    file: File,
}

/// A piece of a range that is either data or zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Address of the first byte; a multiple of the page size.
    pub start: u64,
    /// Address behind the last byte.
    pub end: u64,
    /// Whether there is data; else all bytes are zero.
    pub data: bool,
}

impl Source {
    /// Opens the pages of a process; `None` if the store has none.
    pub fn open(dir: &Path, ns_pid: i32) -> Result<Option<Self>, StoreError> {
        let path = pages_path(dir, ns_pid);
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&path);
        match opened {
            Ok(file) => Ok(Some(Self { path, file })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::io("open", &path, source)),
        }
    }

    /// Where the next data is, from here on. Cheap if there is data here.
    fn data_from(&self, start: u64) -> Result<u64, StoreError> {
        let Ok(offset) = i64::try_from(start) else {
            return Ok(u64::MAX);
        };
        match lseek(self.file.as_fd(), offset, Whence::SeekData) {
            Ok(at) => Ok(u64::try_from(at).map_or(u64::MAX, |at| at - at % PAGE)),
            // Nothing but holes up to the end of the file.
            Err(Errno::ENXIO) => Ok(u64::MAX),
            Err(source) => Err(StoreError::io("read", &self.path, source.into())),
        }
    }

    /// One page.
    pub fn page(&self, address: u64) -> Result<[u8; PAGE_BYTES], StoreError> {
        let mut page = [0; PAGE_BYTES];
        let mut at = 0;
        while at < page.len() {
            match self.file.read_at(&mut page[at..], address + at as u64) {
                // Behind the last data there are zeros only.
                Ok(0) => break,
                Ok(read) => at += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(StoreError::io("read", &self.path, source)),
            }
        }
        Ok(page)
    }

    /// Gives back the memory of pages that nobody will read again. Afterwards they read as zeros.
    pub fn release(&self, range: PageRange) -> Result<(), StoreError> {
        punch(&self.file, range).map_err(|source| StoreError::io("punch", &self.path, source))
    }
}

/// A sliding view of a source for one thread.
#[derive(Debug, Default)]
pub struct Window {
    mapped: Option<(std::ptr::NonNull<libc::c_void>, usize)>,
    start: u64,
    file: i32,
}

// SAFETY: the mapping belongs to this value alone and does not depend on a thread.
unsafe impl Send for Window {}

impl Window {
    /// The first piece of `start..end` (multiples of the page size, at most 64 MiB) that is all data or all zeros.
    ///
    /// `SEEK_HOLE` would say it at once, but walks all pages up to the hole: 2 ms for 256 MiB of data, at each call. mincore(2) looks at
    /// the pages asked for only; those that it does not find may be in swap, so `SEEK_DATA` has the last word.
    pub fn segment(&mut self, source: &Source, start: u64, end: u64) -> Result<Segment, StoreError> {
        let data = source.data_from(start)?;
        if data > start {
            let end = end.min(data);
            return Ok(Segment {
                start,
                end,
                data: false,
            });
        }
        let mut stop = start + PAGE;
        if stop < end {
            let at = self.map(source, start, end)?;
            let mut resident = vec![0_u8; usize::try_from((end - start) / PAGE).unwrap_or(0)];
            let bytes = usize::try_from(end - start).unwrap_or(0);
            // SAFETY: the range lies inside the mapping, and there is one byte for each of its pages. If it fails all stay zero.
            unsafe { libc::mincore(at.cast_mut().cast(), bytes, resident.as_mut_ptr()) };
            for resident in &resident[1..] {
                if resident & 1 == 0 && source.data_from(stop)? != stop {
                    break;
                }
                stop += PAGE;
            }
        }
        let end = stop;
        Ok(Segment {
            start,
            end,
            data: true,
        })
    }

    /// The address in this process at which `start..end` of the source can be read (at most 64 MiB and all of it data), faulted in.
    ///
    /// It holds until the next call or until the window is dropped. Give it to the kernel only: the memory of a file that someone else
    /// might cut must not be a Rust slice. If the file was cut the kernel answers EFAULT.
    pub fn at(&mut self, source: &Source, start: u64, end: u64) -> Result<*const u8, StoreError> {
        let at = self.map(source, start, end)?;
        let bytes = usize::try_from(end - start).unwrap_or(0);
        if end - start > PAGE {
            // SAFETY: the range lies inside the mapping. A failure costs time only: the pages are faulted in one by one.
            unsafe { libc::madvise(at.cast_mut().cast(), bytes, libc::MADV_POPULATE_READ) };
        }
        Ok(at)
    }

    /// Maps the range, if it is not yet.
    fn map(&mut self, source: &Source, start: u64, end: u64) -> Result<*const u8, StoreError> {
        let bytes = end.saturating_sub(start);
        let inside = self.mapped.is_some_and(|(_, length)| {
            self.file == source.file.as_raw_fd() && start >= self.start && end <= self.start + length as u64
        });
        if !inside {
            self.unmap();
            let low = start - start % PAGE;
            let length = usize::try_from(WINDOW.max(bytes)).unwrap_or(usize::MAX);
            let offset = i64::try_from(low).map_err(|_| StoreError::Address { start, bytes })?;
            // SAFETY: a new mapping at an address the kernel chooses; it is undone in `unmap`.
            let mapped = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    length,
                    libc::PROT_READ,
                    libc::MAP_SHARED | libc::MAP_NORESERVE,
                    source.file.as_raw_fd(),
                    offset,
                )
            };
            if mapped == libc::MAP_FAILED {
                let error = std::io::Error::last_os_error();
                return Err(StoreError::io("map", &source.path, error));
            }
            self.mapped = std::ptr::NonNull::new(mapped).map(|mapped| (mapped, length));
            self.start = low;
            self.file = source.file.as_raw_fd();
        }
        let (mapped, _) = self.mapped.ok_or(StoreError::Address { start, bytes })?;
        let offset = usize::try_from(start - self.start).unwrap_or(0);
        // SAFETY: `start` lies inside the mapping: it was checked above or the mapping was made for it.
        Ok(unsafe { mapped.as_ptr().cast::<u8>().add(offset) })
    }

    fn unmap(&mut self) {
        if let Some((mapped, length)) = self.mapped.take() {
            // SAFETY: exactly what mmap gave; nothing else knows the address.
            unsafe { libc::munmap(mapped.as_ptr(), length) };
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.unmap();
    }
}
