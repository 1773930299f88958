//! Which pages are to be sent in this round.

use std::collections::HashMap;

use crate::range::{PAGE, PageRange};

/// Pages of one word of bits.
const WORD: u64 = 64;
/// Pages of one piece: 2 MiB of address space, so that a piece is one line of a core's cache.
const PIECE: u64 = 8 * WORD;

/// One bit for each page, in pieces that exist only where there are pages: 32 bytes for each MiB, and as much for a page
/// that stands alone.
#[derive(Debug, Default)]
pub(super) struct Due(HashMap<(u32, u64), [u64; 8]>);

impl Due {
    /// Adds a range of a process.
    pub(super) fn add(&mut self, pid: u32, range: PageRange) {
        let mut page = range.start / PAGE;
        let end = range.end() / PAGE;
        while page < end {
            let until = end.min((page / PIECE + 1) * PIECE);
            let piece = self.0.entry((pid, page / PIECE)).or_default();
            for one in page..until {
                let (word, bit) = place(one);
                piece[word] |= bit;
            }
            page = until;
        }
    }

    /// Is that page to be sent in this round (and has not been taken)?
    pub(super) fn contains(&self, pid: u32, vaddr: u64) -> bool {
        let page = vaddr / PAGE;
        let (word, bit) = place(page);
        self.0
            .get(&(pid, page / PIECE))
            .is_some_and(|piece| piece[word] & bit != 0)
    }

    /// Takes that page out; false if it was not in.
    pub(super) fn take(&mut self, pid: u32, vaddr: u64) -> bool {
        let page = vaddr / PAGE;
        let (word, bit) = place(page);
        let Some(piece) = self.0.get_mut(&(pid, page / PIECE)) else {
            return false;
        };
        let there = piece[word] & bit != 0;
        piece[word] &= !bit;
        there
    }
}

fn place(page: u64) -> (usize, u64) {
    // Under 8.
    let word = usize::try_from(page / WORD % 8).unwrap_or_default();
    (word, 1 << (page % WORD))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_page_once() {
        let mut due = Due::default();
        due.add(
            1,
            PageRange {
                start: 500 * PAGE,
                pages: 1100,
            },
        );
        for page in 500..1600 {
            assert!(due.contains(1, page * PAGE) && due.take(1, page * PAGE), "{page}");
            assert!(
                !due.contains(1, page * PAGE) && !due.take(1, page * PAGE),
                "{page}"
            );
        }
        assert!(!due.take(1, 499 * PAGE) && !due.take(1, 1600 * PAGE) && !due.take(2, 500 * PAGE));
    }
}
