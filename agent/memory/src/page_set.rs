//! Sets of pages of several processes.

use std::collections::HashMap;

use crate::range::{PAGE, PageRange};

/// Pages of one word of bits.
const WORD: u64 = 64;
/// Pages of one piece: 2 MiB of address space, so that a piece is one line of a processor's cache.
const PIECE: u64 = 8 * WORD;

/// One bit for each page, in pieces that exist only where there are pages: about 40 bytes for each MiB of dense memory, and as much for a
/// page that stands alone.
#[derive(Debug, Default, Clone)]
pub struct PageSet {
    pieces: HashMap<(i32, u64), [u64; 8]>,
}

impl PageSet {
    /// Adds the page at `address` of a process.
    pub fn insert(&mut self, ns_pid: i32, address: u64) {
        let (piece, word, bit) = place(address / PAGE);
        self.pieces.entry((ns_pid, piece)).or_default()[word] |= bit;
    }

    /// Adds a range.
    pub fn insert_range(&mut self, ns_pid: i32, range: PageRange) {
        for page in range.start / PAGE..range.end() / PAGE {
            self.insert(ns_pid, page * PAGE);
        }
    }

    /// True if the page is in the set.
    pub fn contains(&self, ns_pid: i32, address: u64) -> bool {
        let (piece, word, bit) = place(address / PAGE);
        self.pieces
            .get(&(ns_pid, piece))
            .is_some_and(|words| words[word] & bit != 0)
    }

    /// The parts of a range that are not in the set, in order.
    pub fn missing(&self, ns_pid: i32, range: PageRange) -> Vec<PageRange> {
        let mut found: Vec<PageRange> = Vec::new();
        let (mut page, end) = (range.start / PAGE, range.end() / PAGE);
        while page < end {
            let (piece, word, _) = place(page);
            let words = self.pieces.get(&(ns_pid, piece));
            let word_end = end.min((page / WORD + 1) * WORD);
            match words.map_or(0, |words| words[word]) {
                u64::MAX => {}
                0 => add(&mut found, page, word_end - page),
                bits => (page..word_end)
                    .filter(|one| bits & (1 << (one % WORD)) == 0)
                    .for_each(|one| add(&mut found, one, 1)),
            }
            page = word_end;
        }
        found
    }

    /// How many pages are in the set.
    pub fn len(&self) -> u64 {
        let words = self.pieces.values().flatten();
        words.map(|word| u64::from(word.count_ones())).sum()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Piece, word in it, and bit in that, of a page number.
fn place(page: u64) -> (u64, usize, u64) {
    // Below 8, so it fits.
    let word = usize::try_from(page / WORD % 8).unwrap_or_default();
    (page / PIECE, word, 1 << (page % WORD))
}

fn add(found: &mut Vec<PageRange>, page: u64, pages: u64) {
    match found.last_mut() {
        Some(last) if last.end() == page * PAGE => last.pages += pages,
        _ => found.push(PageRange {
            start: page * PAGE,
            pages,
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(pages in prop::collection::vec(0_u64..1500, 0..400), from in 0_u64..1500, length in 1_u64..1500) {
            let mut set = PageSet::default();
            let model: BTreeSet<u64> = pages.iter().copied().collect();
            for page in &pages {
                set.insert(7, page * PAGE);
            }
            prop_assert_eq!(set.len(), model.len() as u64);
            let range = PageRange { start: from * PAGE, pages: length };
            let missing = set.missing(7, range);
            let listed: Vec<u64> = missing
                .iter()
                .flat_map(|range| range.start / PAGE..range.end() / PAGE)
                .collect();
            let expected: Vec<u64> = (from..from + length).filter(|page| !model.contains(page)).collect();
            prop_assert_eq!(listed, expected);
            prop_assert_eq!(set.missing(8, range), vec![range]);
            for pair in missing.windows(2) {
                prop_assert!(pair[0].end() < pair[1].start, "ranges that touch are one");
            }
        }
    }
}
