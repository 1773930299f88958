//! `PAGEMAP_SCAN`: pages of a process by category, and marking them clean in the same step (Linux 6.7;
//! Documentation/admin-guide/mm/pagemap.rst, include/uapi/linux/fs.h).

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use nix::errno::Errno;

use super::process;

const WP_ALLOWED: u64 = 1;
const WRITTEN: u64 = 1 << 1;
const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;
const ZERO: u64 = 1 << 5;
const SOFT_DIRTY: u64 = 1 << 7;
const GUARD: u64 = 1 << 8;

const WP_MATCHING: u64 = 1;

/// Regions asked for at once: 384 KiB.
const REGIONS: usize = 16 * 1024;

/// `struct page_region`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Region {
    /// First byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
    categories: u64,
}

impl Region {
    /// A region.
    pub fn new(start: u64, end: u64) -> Self {
        Self {
            start,
            end,
            categories: 0,
        }
    }
}

/// `struct pm_scan_arg`.
#[repr(C)]
#[derive(Default)]
struct Arguments {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vector: u64,
    vector_length: u64,
    max_pages: u64,
    inverted: u64,
    mask: u64,
    any_of: u64,
    returned: u64,
}

nix::ioctl_readwrite!(
    /// The call itself.
    pagemap_scan, b'f', 16, Arguments
);

/// Which pages to look for. In each case only populated ones: a page that was never touched counts as written, and marking it clean
/// would make page tables for it (8 GiB of untouched memory: 16 MiB of them). The zero page is never of interest: CRIU leaves it out,
/// and a write to it brings another page. Guard pages have no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Written since they were marked clean; they are marked again, atomically. Mappings that are not registered are passed over.
    TakeWritten,
    /// In mappings that are registered; nothing is marked.
    Registered,
    /// In mappings that are not registered.
    Unregistered,
    /// Soft-dirty.
    SoftDirty,
    /// All.
    All,
}

impl Wanted {
    /// (flags, inverted, all of these, returned)
    fn categories(self) -> (u64, u64, u64) {
        match self {
            Self::TakeWritten => (WP_MATCHING, 0, WRITTEN),
            Self::Registered => (0, 0, WP_ALLOWED),
            Self::Unregistered => (0, WP_ALLOWED, WP_ALLOWED),
            Self::SoftDirty => (0, 0, SOFT_DIRTY),
            Self::All => (0, 0, 0),
        }
    }
}

/// Whether the kernel tells guard pages apart (Linux 6.15). If so CRIU asks every process for them before anything else
/// (`collect_madv_guards` in `criu/mem.c`).
pub fn knows_guards() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let Ok(own) = File::open("/proc/self/pagemap") else {
            return false;
        };
        let mut arguments = Arguments {
            size: size_of::<Arguments>() as u64,
            mask: GUARD,
            returned: GUARD,
            ..Arguments::default()
        };
        // SAFETY: the arguments are live and of the kernel's layout; an empty range and no vector.
        unsafe { pagemap_scan(own.as_raw_fd(), &raw mut arguments) }.is_ok()
    })
}

/// The page map of a process. It is that of the memory the process has now: open it anew for every round, `exec` brings other memory.
#[derive(Debug)]
pub struct Pagemap {
    file: File,
}

impl From<File> for Pagemap {
    /// An opened `/proc/PID/pagemap`.
    fn from(file: File) -> Self {
        Self { file }
    }
}

impl Pagemap {
    /// Opens it; `None` if the process has ended.
    pub fn open(pid: i32) -> io::Result<Option<Self>> {
        match File::open(format!("/proc/{pid}/pagemap")) {
            Ok(file) => Ok(Some(Self { file })),
            Err(error) if process::is_gone(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Adds to `found` the pages wanted between two addresses, in order, neighbours joined.
    pub fn scan(&self, wanted: Wanted, start: u64, end: u64, found: &mut Vec<Region>) -> Result<(), Errno> {
        self.walk(wanted, (start, end), 0, found)
    }

    /// The pages wanted of several ranges.
    pub fn scan_all(&self, wanted: Wanted, ranges: &[(u64, u64)]) -> Result<Vec<Region>, Errno> {
        let mut found = Vec::new();
        for &(start, end) in ranges {
            self.scan(wanted, start, end, &mut found)?;
        }
        Ok(found)
    }

    /// Whether there is any such page between two addresses.
    pub fn any(&self, wanted: Wanted, start: u64, end: u64) -> Result<bool, Errno> {
        let mut found = Vec::new();
        self.walk(wanted, (start, end), 1, &mut found)?;
        Ok(!found.is_empty())
    }

    fn walk(
        &self,
        wanted: Wanted,
        (start, end): (u64, u64),
        max_pages: u64,
        found: &mut Vec<Region>,
    ) -> Result<(), Errno> {
        let mut buffer = vec![Region::default(); if max_pages == 0 { REGIONS } else { 1 }];
        let (flags, inverted, all) = wanted.categories();
        let mut start = start;
        let already = found.len();
        let guard = if knows_guards() { GUARD } else { 0 };
        while start < end {
            let mut arguments = Arguments {
                size: size_of::<Arguments>() as u64,
                flags,
                start,
                end,
                vector: buffer.as_mut_ptr().addr() as u64,
                vector_length: buffer.len() as u64,
                max_pages,
                inverted: inverted | ZERO | guard,
                mask: all | ZERO | guard,
                any_of: PRESENT | SWAPPED,
                returned: PRESENT | SWAPPED,
                ..Arguments::default()
            };
            // SAFETY: the arguments are live and of the kernel's layout; the vector is live and as long as said.
            let count = match unsafe { pagemap_scan(self.file.as_raw_fd(), &raw mut arguments) } {
                Ok(count) => usize::try_from(count).unwrap_or(0),
                Err(Errno::EINTR) => continue,
                Err(error) => return Err(error),
            };
            for &region in buffer.iter().take(count) {
                join(found, region);
            }
            if max_pages != 0 {
                break;
            }
            if arguments.walk_end <= start {
                // What lies behind would never be told.
                return Err(Errno::EPROTO);
            }
            start = arguments.walk_end;
        }
        put_in_order(found, already);
        Ok(())
    }
}

/// Puts the regions from the one numbered `already` on in order and joins those that overlap. Linux 6.18 was seen to add one, at the end and out of
/// order, that it had told of before, when mappings changed during the walk.
fn put_in_order(found: &mut Vec<Region>, already: usize) {
    let Some(new) = found.get_mut(already..) else {
        return;
    };
    if new.is_sorted_by(|one, other| one.end <= other.start) {
        return;
    }
    new.sort_unstable_by_key(|region| (region.start, region.end));
    let regions = found.split_off(already);
    for region in regions {
        match found.last_mut() {
            Some(last) if touch(last, &region) => last.end = last.end.max(region.end),
            _ => found.push(region),
        }
    }
}

/// Whether a region begins inside of another one or right behind it.
fn touch(last: &Region, next: &Region) -> bool {
    last.start <= next.start && next.start <= last.end
}

fn join(found: &mut Vec<Region>, region: Region) {
    match found.last_mut() {
        Some(last) if last.end == region.start => last.end = region.end,
        _ => found.push(Region::new(region.start, region.end)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range::PAGE;

    #[test]
    fn a_region_that_is_told_of_twice_is_one() {
        let region = |start, end| Region::new(start * PAGE, end * PAGE);
        let mut found = vec![
            region(90, 99),
            region(1, 3),
            region(5, 6),
            region(8, 9),
            region(5, 6),
        ];
        put_in_order(&mut found, 1);
        let ends: Vec<_> = found
            .iter()
            .map(|region| (region.start / PAGE, region.end / PAGE))
            .collect();
        assert_eq!(ends, [(90, 99), (1, 3), (5, 6), (8, 9)]);
    }

    #[test]
    fn neighbours_are_joined() {
        let mut found = Vec::new();
        for (start, end) in [(0x1000, 0x2000), (0x2000, 0x3000), (0x5000, 0x6000)] {
            join(
                &mut found,
                Region {
                    start,
                    end,
                    categories: start,
                },
            );
        }
        assert_eq!(found, [Region::new(0x1000, 0x3000), Region::new(0x5000, 0x6000)]);
    }

    #[test]
    fn only_taking_changes_anything() {
        for wanted in [
            Wanted::Registered,
            Wanted::Unregistered,
            Wanted::SoftDirty,
            Wanted::All,
        ] {
            assert_eq!(wanted.categories().0, 0, "{wanted:?}");
        }
        assert_eq!(Wanted::TakeWritten.categories().0, WP_MATCHING);
    }

    #[test]
    fn a_process_that_is_not_there_has_no_page_map() {
        assert!(Pagemap::open(i32::MAX).unwrap().is_none());
    }
}
