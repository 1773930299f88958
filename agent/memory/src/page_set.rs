//! Sets of pages.

use std::collections::{BTreeMap, HashMap};

use crate::range::{PAGE, PageRange};

/// Pages of a chunk: 2 MiB of memory, one bit each, so that a chunk is one line of a processor's cache.
const CHUNK: u64 = 512;

/// Pages of one process, as bits in chunks that exist only where there are pages: about 40 bytes for each MiB of dense memory, and as much for
/// a page that stands alone.
#[derive(Debug, Default, Clone)]
pub struct ProcessPages {
    chunks: HashMap<u64, [u64; 8]>,
}

impl ProcessPages {
    /// Adds a range. Gives whether any of its pages was there already; `None` if the set would have more chunks of 2 MiB than `most` (then
    /// nothing is added).
    pub fn insert(&mut self, range: PageRange, most: usize) -> Option<bool> {
        if range.pages == 0 {
            return Some(false);
        }
        let first = range.start / PAGE;
        let last = first.checked_add(range.pages)?.checked_sub(1)?;
        let span = last / CHUNK - first / CHUNK + 1;
        if usize::try_from(span).ok()? > most {
            return None;
        }
        // Looked at one by one only if they might be too many.
        if self.chunks.len() + usize::try_from(span).ok()? > most {
            let new = (first / CHUNK..=last / CHUNK)
                .filter(|chunk| !self.chunks.contains_key(chunk))
                .count();
            if self.chunks.len() + new > most {
                return None;
            }
        }
        let mut before = false;
        for (chunk, word, mask) in masks(first, last) {
            let bits = &mut self.chunks.entry(chunk).or_default()[word];
            before |= *bits & mask != 0;
            *bits |= mask;
        }
        Some(before)
    }

    /// Whether the page at this address is in the set.
    pub fn contains(&self, address: u64) -> bool {
        let page = address / PAGE;
        masks(page, page)
            .all(|(chunk, word, mask)| self.chunks.get(&chunk).is_some_and(|bits| bits[word] & mask != 0))
    }

    /// Appends the parts of a range that are not in the set, in order; parts that touch are one.
    pub fn missing(&self, range: PageRange, gone: &mut Vec<PageRange>) {
        if range.pages == 0 {
            return;
        }
        let last = range.start / PAGE + range.pages - 1;
        let merged = gone.len();
        for (chunk, word, mask) in masks(range.start / PAGE, last) {
            let bits = self.chunks.get(&chunk).map_or(0, |chunk| chunk[word]);
            let mut left = mask & !bits;
            while left != 0 {
                let bit = left.trailing_zeros();
                let run = (left >> bit).trailing_ones();
                let start = (chunk * CHUNK + word as u64 * 64 + u64::from(bit)) * PAGE;
                match gone[merged..].last_mut() {
                    Some(before) if before.end() == start => before.pages += u64::from(run),
                    _ => gone.push(PageRange {
                        start,
                        pages: u64::from(run),
                    }),
                }
                left &= !(ones(run) << bit);
            }
        }
    }

    /// How many pages are in the set.
    pub fn len(&self) -> u64 {
        let words = self.chunks.values().flatten();
        words.map(|word| u64::from(word.count_ones())).sum()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

/// Pages of several processes.
#[derive(Debug, Default, Clone)]
pub struct PageSet {
    processes: BTreeMap<i32, ProcessPages>,
}

impl PageSet {
    /// Adds the page at `address` of a process.
    pub fn insert(&mut self, ns_pid: i32, address: u64) {
        let start = address - address % PAGE;
        self.insert_range(ns_pid, PageRange { start, pages: 1 });
    }

    /// Adds a range.
    pub fn insert_range(&mut self, ns_pid: i32, range: PageRange) {
        self.processes
            .entry(ns_pid)
            .or_default()
            .insert(range, usize::MAX);
    }

    /// True if the page is in the set.
    pub fn contains(&self, ns_pid: i32, address: u64) -> bool {
        let pages = self.processes.get(&ns_pid);
        pages.is_some_and(|pages| pages.contains(address))
    }

    /// The parts of a range that are not in the set, in order.
    pub fn missing(&self, ns_pid: i32, range: PageRange) -> Vec<PageRange> {
        let Some(pages) = self.processes.get(&ns_pid) else {
            return vec![range];
        };
        let mut gone = Vec::new();
        pages.missing(range, &mut gone);
        gone
    }

    /// How many pages are in the set.
    pub fn len(&self) -> u64 {
        self.processes.values().map(ProcessPages::len).sum()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.processes.values().all(ProcessPages::is_empty)
    }
}

/// The words that pages `first..=last` touch: (chunk, word in it, bits of it).
fn masks(first: u64, last: u64) -> impl Iterator<Item = (u64, usize, u64)> {
    (first / 64..=last / 64).map(move |word| {
        let low = first.saturating_sub(word * 64);
        let high = (last - word * 64).min(63);
        let mask = (u64::MAX << low) & (u64::MAX >> (63 - high));
        (word / 8, usize::try_from(word % 8).unwrap_or(0), mask)
    })
}

fn ones(count: u32) -> u64 {
    u64::MAX.checked_shr(64 - count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn range(first: u64, pages: u64) -> PageRange {
        PageRange {
            start: first * PAGE,
            pages,
        }
    }

    proptest! {
        #[test]
        fn it_is_a_set(adds in prop::collection::vec((0_u64..3000, 0_u64..700), 0..12), single in prop::collection::vec(0_u64..3000, 0..100), from in 0_u64..3000, length in 1_u64..900) {
            let mut set = PageSet::default();
            let mut one = ProcessPages::default();
            let mut model = BTreeSet::new();
            for (first, pages) in adds {
                let before = (first..first + pages).any(|page| model.contains(&page));
                prop_assert_eq!(one.insert(range(first, pages), 10), Some(before));
                set.insert_range(7, range(first, pages));
                model.extend(first..first + pages);
            }
            for page in single {
                set.insert(7, page * PAGE);
                one.insert(range(page, 1), 10);
                model.insert(page);
            }
            prop_assert_eq!(set.len(), model.len() as u64);
            prop_assert_eq!(set.is_empty(), model.is_empty());
            let asked = range(from, length);
            let missing = set.missing(7, asked);
            let listed: Vec<u64> = missing.iter().flat_map(|range| range.start / PAGE..range.end() / PAGE).collect();
            let expected: Vec<u64> = (from..from + length).filter(|page| !model.contains(page)).collect();
            prop_assert_eq!(listed, expected);
            prop_assert_eq!(set.missing(8, asked), vec![asked]);
            for page in from..from + length {
                prop_assert_eq!(set.contains(7, page * PAGE + 5), model.contains(&page));
            }
            for pair in missing.windows(2) {
                prop_assert!(pair[0].end() < pair[1].start, "ranges that touch are one");
            }
            let mut gone = vec![range(from, 1)];
            one.missing(asked, &mut gone);
            prop_assert_eq!(&gone[1..], &missing[..], "what was there before is left alone");
        }
    }

    #[test]
    fn a_set_has_no_more_chunks_than_allowed() {
        let mut set = ProcessPages::default();
        assert_eq!(set.insert(range(0, CHUNK + 1), 2), Some(false));
        assert_eq!(set.insert(range(2 * CHUNK, 1), 2), None);
        assert_eq!(set.insert(range(CHUNK, CHUNK), 2), Some(true));
        assert_eq!(set.insert(range(u64::MAX / PAGE, u64::MAX), 2), None);
        assert_eq!(
            set.insert(range(CHUNK, 0), 0),
            Some(false),
            "nothing at the edge of a chunk"
        );
        assert_eq!(set.len(), 2 * CHUNK);
    }
}
