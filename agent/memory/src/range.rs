//! Ranges of pages.

/// Bytes of a page. Other sizes (aarch64 kernels may have 16 or 64 KiB) are refused before anything is tracked.
pub const PAGE: u64 = 4096;
/// The same, as a length of bytes in memory.
pub const PAGE_BYTES: usize = 4096;

/// Pages in a row in the address space of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageRange {
    /// Address of the first byte; a multiple of [`PAGE`].
    pub start: u64,
    /// How many pages; not zero.
    pub pages: u64,
}

impl PageRange {
    /// Address of the first byte behind the range; saturates at the end of the address space.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.pages.saturating_mul(PAGE))
    }

    /// Bytes of the range.
    pub fn bytes(&self) -> u64 {
        self.pages.saturating_mul(PAGE)
    }
}
