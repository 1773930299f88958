//! The pages of one process of the images, and where they are stored.

use std::sync::{Mutex, PoisonError};

use super::ServeError;
use super::claims::Chunk;
use super::files::Config;
use crate::images::{Mapping, lazy_process};
use crate::range::{PAGE, PageRange};
use crate::store::Source;

/// Memory is given back in pieces of at least this size.
const RELEASE: u64 = 4 * 1024 * 1024;

/// What all address spaces with these pages share: that of the process and of those it forks.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) ns_pid: i32,
    pub(super) ranges: Vec<PageRange>,
    pub(super) vmas: Vec<Mapping>,
    /// There is none if no page is lazy.
    pub(super) source: Option<Source>,
    released: Mutex<u64>,
}

impl Origin {
    pub(super) fn load(config: &Config, ns_pid: i32) -> Result<Self, ServeError> {
        let process = lazy_process(&config.images, ns_pid)?.ok_or(ServeError::UnknownProcess { ns_pid })?;
        let source = Source::open(&config.store, ns_pid)?;
        if source.is_none() && !process.ranges.is_empty() {
            return Err(crate::store::StoreError::NoProcess { ns_pid }.into());
        }
        Ok(Self {
            ns_pid,
            ranges: process.ranges,
            vmas: process.vmas,
            source,
            released: Mutex::new(0),
        })
    }

    /// Bytes of all pages.
    pub(super) fn bytes(&self) -> u64 {
        self.ranges.iter().map(PageRange::bytes).sum()
    }

    /// The mapping that was at this address.
    pub(super) fn mapping(&self, address: u64) -> Option<&Mapping> {
        let index = self.vmas.partition_point(|vma| vma.end <= address);
        self.vmas.get(index).filter(|vma| vma.start <= address)
    }

    /// Pages that a forked child does not inherit.
    ///
    /// They are filled first: a child whose parent was forked before its `MADV_WIPEONFORK` page was filled must not find it filled.
    pub(super) fn not_inherited(&self) -> Vec<Chunk> {
        self.ranges
            .iter()
            .filter(|range| self.mapping(range.start).is_some_and(|vma| vma.not_inherited))
            .map(|range| (range.start, range.end()))
            .collect()
    }

    /// Gives back the memory of all pages below the address, which nobody will need again.
    pub(super) fn release(&self, floor: u64) -> Result<(), ServeError> {
        let (Some(source), Some(last)) = (&self.source, self.ranges.last()) else {
            return Ok(());
        };
        let floor = floor.min(last.end());
        let mut released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
        if floor.saturating_sub(*released) < RELEASE && floor != last.end() || floor <= *released {
            return Ok(());
        }
        source.release(PageRange {
            start: *released,
            pages: (floor - *released) / PAGE,
        })?;
        *released = floor;
        Ok(())
    }
}
