//! Which pages of a process have come.

use std::collections::HashMap;

use crate::range::{PAGE, PageRange};

/// Pages of a chunk: 2 MiB of memory, one bit each.
const CHUNK: u64 = 512;
/// No process has more chunks: 2 TiB of memory, or about 90 MiB of these bits.
const MAX_CHUNKS: usize = 1 << 20;

/// A set of pages, as bits in chunks that exist only where there are pages.
#[derive(Debug, Default)]
pub(super) struct Presence {
    chunks: HashMap<u64, [u64; 8]>,
}

impl Presence {
    /// Adds the range. Gives whether any of its pages was there already; `None` if there is no room for it (then nothing is added).
    pub(super) fn insert(&mut self, range: PageRange) -> Option<bool> {
        let first = range.start / PAGE;
        let last = first.checked_add(range.pages)?.checked_sub(1)?;
        let span = last / CHUNK - first / CHUNK + 1;
        if usize::try_from(span).ok()? > MAX_CHUNKS {
            return None;
        }
        let new = (first / CHUNK..=last / CHUNK)
            .filter(|chunk| !self.chunks.contains_key(chunk))
            .count();
        if self.chunks.len() + new > MAX_CHUNKS {
            return None;
        }
        let mut before = false;
        for (chunk, word, mask) in masks(first, last) {
            let bits = &mut self.chunks.entry(chunk).or_default()[word];
            before |= *bits & mask != 0;
            *bits |= mask;
        }
        Some(before)
    }

    /// Whether all pages of the range are in the set.
    #[cfg(test)]
    pub(super) fn contains(&self, range: PageRange) -> bool {
        let mut gone = Vec::new();
        self.missing(range, &mut gone);
        gone.is_empty()
    }

    /// Appends the parts of the range that are not in the set.
    pub(super) fn missing(&self, range: PageRange, gone: &mut Vec<PageRange>) {
        let Some(last) = (range.start / PAGE + range.pages).checked_sub(1) else {
            return;
        };
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
