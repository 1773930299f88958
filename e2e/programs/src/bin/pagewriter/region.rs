//! Pages with an index that says which version each must have.
//!
//! A page has one writer. Anybody may look at it meanwhile: the index says before and after that it is not being written.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::Failure;
use crate::area::Area;
use crate::page;

const BUSY: u64 = 1 << 63;
/// How often a page that is being written is looked at again.
const TRIES: u32 = 1000;

pub(crate) struct Region {
    area: Area,
    index: Vec<AtomicU64>,
    name: u64,
}

impl Region {
    /// Private memory, all of it written once. The name of its first page is `name << 32`.
    pub(crate) fn new(pages: usize, name: u64) -> Result<Self, Failure> {
        let region = Self {
            area: Area::private(pages)?,
            index: (0..pages).map(|_| AtomicU64::new(0)).collect(),
            name: name << 32,
        };
        for at in 0..pages {
            region.write(at);
        }
        Ok(region)
    }

    pub(crate) fn pages(&self) -> usize {
        self.area.pages()
    }

    /// The next version of a page; only its one writer may call it.
    pub(crate) fn write(&self, at: usize) {
        let sequence = self.index[at].load(Ordering::Relaxed) + 1;
        self.index[at].store(sequence | BUSY, Ordering::Relaxed);
        fence(Ordering::Release);
        page::write(self.area.page(at), self.name + at as u64, sequence);
        self.index[at].store(sequence, Ordering::Release);
    }

    /// Looks at a page; the error says what is wrong with it.
    pub(crate) fn check(&self, at: usize) -> Result<(), String> {
        for _ in 0..TRIES {
            let wanted = self.index[at].load(Ordering::Acquire);
            let found = page::read(self.area.page(at), self.name + at as u64);
            fence(Ordering::Acquire);
            if wanted & BUSY != 0 || self.index[at].load(Ordering::Relaxed) != wanted {
                std::thread::yield_now();
                continue;
            }
            return match found {
                Ok(sequence) if sequence == wanted => Ok(()),
                Ok(sequence) => Err(format!("has version {sequence} instead of {wanted}")),
                Err(what) => Err(format!("{what}; it should be version {wanted}")),
            }
            .map_err(|what| {
                format!(
                    "page {at} of region {:#x} at {:p} {what}",
                    self.name >> 32,
                    self.area.address(at)
                )
            });
        }
        // Its writer was stopped in the middle of it for that long: nothing is known about it now.
        Ok(())
    }

    /// The sum of all versions: how often anything was written.
    pub(crate) fn writes(&self) -> u64 {
        self.index
            .iter()
            .map(|sequence| sequence.load(Ordering::Acquire) & !BUSY)
            .sum()
    }

    /// Where a page is.
    pub(crate) fn address(&self, at: usize) -> usize {
        self.area.address(at).addr()
    }
}
