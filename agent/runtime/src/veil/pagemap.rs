//! `/proc/PID/pagemap`: which pages there are (`Documentation/admin-guide/mm/pagemap.rst` of the kernel).

use std::fs::File;
use std::os::fd::AsRawFd;

use nix::errno::Errno;

use super::Span;

/// `struct pm_scan_arg`.
#[repr(C)]
#[derive(Default)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    regions: u64,
    regions_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// `struct page_region`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

const PRESENT: u64 = 1 << 3;
const SWAPPED: u64 = 1 << 4;
const ZERO_PAGE: u64 = 1 << 5;
const GUARD: u64 = 1 << 8;
/// Regions asked for at a time.
const REGIONS: usize = 4096;

nix::ioctl_readwrite!(pagemap_scan, b'f', 16, Scan);

/// The pages of an anonymous mapping that CRIU would dump: `pmc_fill` in CRIU's pagemap-cache.c asks the same, and leaves out pages of files besides. An
/// anonymous mapping has none, and to look whether it has costs ten times the rest: 25 instead of 2 ms per GiB.
pub(super) fn dumpable(pagemap: &File, mapping: Span, found: &mut Vec<Span>) -> Result<(), Errno> {
    let mut regions = vec![Region::default(); REGIONS];
    let mut start = mapping.start;
    let already = found.len();
    while start < mapping.end {
        let mut scan = Scan {
            size: size_of::<Scan>() as u64,
            start,
            end: mapping.end,
            regions: regions.as_mut_ptr() as u64,
            regions_len: regions.len() as u64,
            category_inverted: ZERO_PAGE,
            category_mask: ZERO_PAGE,
            category_anyof_mask: PRESENT | SWAPPED,
            return_mask: PRESENT | SWAPPED | guards(),
            ..Scan::default()
        };
        // SAFETY: the kernel writes `scan` and at most `regions_len` entries of `regions`, which both outlive the call.
        let count = unsafe { pagemap_scan(pagemap.as_raw_fd(), &raw mut scan) }?;
        let count = usize::try_from(count).unwrap_or(0).min(regions.len());
        for region in regions[..count]
            .iter()
            .filter(|region| region.categories & GUARD == 0)
        {
            let row = Span {
                start: region.start,
                end: region.end,
            };
            match found.last_mut() {
                Some(last) if last.end == row.start && last.start >= mapping.start => last.end = row.end,
                _ => found.push(row),
            }
        }
        if scan.walk_end <= start {
            return Err(Errno::EPROTO);
        }
        start = scan.walk_end;
    }
    put_in_order(found, already);
    Ok(())
}

/// Puts the rows from the one numbered `already` on in order and joins those that overlap: Linux 6.18 was seen to tell of a region a second time,
/// last and out of order.
fn put_in_order(found: &mut Vec<Span>, already: usize) {
    let new = found.get(already..).unwrap_or_default();
    if new.is_sorted_by(|one, other| one.end <= other.start) {
        return;
    }
    let mut rows = found.split_off(already);
    rows.sort_unstable_by_key(|row| (row.start, row.end));
    for row in rows {
        match found.get_mut(already..).and_then(<[Span]>::last_mut) {
            Some(last) if row.start <= last.end => last.end = last.end.max(row.end),
            _ => found.push(row),
        }
    }
}

/// `PAGE_IS_GUARD` if the kernel knows it (6.15 and newer), else nothing.
fn guards() -> u64 {
    if knows_guards() { GUARD } else { 0 }
}

/// Whether the kernel tells guard pages apart. If so CRIU asks every process for them before anything else (`collect_madv_guards` in mem.c).
pub(super) fn knows_guards() -> bool {
    static KNOWN: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *KNOWN.get_or_init(|| {
        let Ok(own) = File::open("/proc/self/pagemap") else {
            return false;
        };
        let mut scan = Scan {
            size: size_of::<Scan>() as u64,
            category_mask: GUARD,
            return_mask: GUARD,
            ..Scan::default()
        };
        // SAFETY: as above; an empty range and no regions.
        unsafe { pagemap_scan(own.as_raw_fd(), &raw mut scan) }.is_ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_told_of_twice_is_one() {
        let span = |start, end| Span { start, end };
        let mut found = vec![span(90, 99), span(1, 3), span(5, 6), span(8, 9), span(5, 6)];
        put_in_order(&mut found, 1);
        assert_eq!(found, [span(90, 99), span(1, 3), span(5, 6), span(8, 9)]);
    }
}
