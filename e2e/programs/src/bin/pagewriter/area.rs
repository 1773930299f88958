//! A mapping of one's own, in pages.

use std::io;
use std::ptr;

use crate::Failure;
use crate::page::{self, Page, SIZE};

/// Pages of this process, mapped for as long as the value lives.
pub(crate) struct Area {
    base: *mut libc::c_void,
    pages: usize,
}

// SAFETY: a mapping belongs to the process, not to a thread; what is in it is atomic.
unsafe impl Send for Area {}
// SAFETY: as above.
unsafe impl Sync for Area {}

impl Area {
    /// Private memory, all zeros.
    pub(crate) fn private(pages: usize) -> Result<Self, Failure> {
        Self::map(
            pages,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            libc::PROT_READ | libc::PROT_WRITE,
            -1,
        )
    }

    /// Memory that forked processes have in common, all zeros.
    pub(crate) fn shared(pages: usize) -> Result<Self, Failure> {
        Self::map(
            pages,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            libc::PROT_READ | libc::PROT_WRITE,
            -1,
        )
    }

    /// A place without memory.
    pub(crate) fn reserved(pages: usize) -> Result<Self, Failure> {
        Self::map(
            pages,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            libc::PROT_NONE,
            -1,
        )
    }

    /// A private mapping of the beginning of a file.
    pub(crate) fn of_file(file: &impl std::os::fd::AsRawFd, pages: usize) -> Result<Self, Failure> {
        Self::map(
            pages,
            libc::MAP_PRIVATE,
            libc::PROT_READ | libc::PROT_WRITE,
            file.as_raw_fd(),
        )
    }

    fn map(pages: usize, flags: i32, protection: i32, file: i32) -> Result<Self, Failure> {
        // SAFETY: a new mapping wherever the kernel likes touches nothing that exists.
        let base = unsafe { libc::mmap(ptr::null_mut(), pages * SIZE, protection, flags, file, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        Ok(Self { base, pages })
    }

    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    /// The address of a page.
    pub(crate) fn address(&self, page: usize) -> *mut libc::c_void {
        self.base.wrapping_byte_add(page * SIZE)
    }

    /// One page. Panics beyond the end.
    pub(crate) fn page(&self, at: usize) -> &Page {
        assert!(at < self.pages, "page {at} of {}", self.pages);
        // SAFETY: the page is inside the mapping, which lives as long as `self` and is readable and writable whenever
        // this is called; every content is a valid value of atomic words.
        unsafe { &*self.address(at).cast::<Page>() }
    }

    /// `madvise` for some pages.
    pub(crate) fn advise(&self, first: usize, count: usize, advice: i32) -> Result<(), Failure> {
        assert!(first + count <= self.pages, "beyond the end");
        // SAFETY: the range is this mapping's own; contents are atomic words of any value.
        done(unsafe { libc::madvise(self.address(first), count * SIZE, advice) })
    }

    /// `mprotect` for all of it. Nobody may call `page` while it is not readable and writable.
    pub(crate) fn protect(&self, protection: i32) -> Result<(), Failure> {
        // SAFETY: the range is this mapping's own.
        done(unsafe { libc::mprotect(self.base, self.pages * SIZE, protection) })
    }

    /// Makes it larger or smaller, wherever the kernel likes.
    pub(crate) fn resize(&mut self, pages: usize) -> Result<(), Failure> {
        // SAFETY: the range is this mapping's own, and `&mut self` says that nobody has a page of it.
        let base = unsafe { libc::mremap(self.base, self.pages * SIZE, pages * SIZE, libc::MREMAP_MAYMOVE) };
        self.now(base, pages)
    }

    /// Moves it to the place of `place`, with that size.
    pub(crate) fn move_to(&mut self, place: Self) -> Result<(), Failure> {
        // SAFETY: both ranges are mappings of this module that nobody has a page of.
        let base = unsafe {
            libc::mremap(
                self.base,
                self.pages * SIZE,
                place.pages * SIZE,
                libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                place.base,
            )
        };
        let pages = place.pages;
        // Its mapping was replaced.
        std::mem::forget(place);
        self.now(base, pages)
    }

    fn now(&mut self, base: *mut libc::c_void, pages: usize) -> Result<(), Failure> {
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error().into());
        }
        (self.base, self.pages) = (base, pages);
        Ok(())
    }

    /// Unmaps it and maps fresh memory at the same place; elsewhere if another thread was given the place meanwhile.
    pub(crate) fn renew(self) -> Result<Self, Failure> {
        let (base, pages) = (self.base, self.pages);
        drop(self);
        // SAFETY: MAP_FIXED_NOREPLACE leaves alone what may be there by now.
        let found = unsafe {
            libc::mmap(
                base,
                pages * SIZE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
                -1,
                0,
            )
        };
        if found == libc::MAP_FAILED {
            return Self::private(pages);
        }
        Ok(Self { base: found, pages })
    }

    /// Writes these pages, called `name + number`, in that version.
    pub(crate) fn fill(&self, pages: std::ops::Range<usize>, name: u64, sequence: u64) {
        for at in pages {
            page::write(self.page(at), name + at as u64, sequence);
        }
    }

    /// Fails unless these pages are what [`Self::fill`] wrote; version 0 is zeros.
    pub(crate) fn expect(
        &self,
        pages: std::ops::Range<usize>,
        name: u64,
        sequence: u64,
    ) -> Result<(), Failure> {
        for at in pages {
            let found = page::read(self.page(at), name + at as u64)
                .map_err(|what| format!("page {at} at {:p} {what}", self.address(at)))?;
            if found != sequence {
                return Err(format!(
                    "page {at} at {:p} has version {found} instead of {sequence}",
                    self.address(at)
                )
                .into());
            }
        }
        Ok(())
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and nobody can have a page of it any more.
        unsafe { libc::munmap(self.base, self.pages * SIZE) };
    }
}

fn done(result: i32) -> Result<(), Failure> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error().into())
    }
}
