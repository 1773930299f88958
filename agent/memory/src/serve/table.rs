//! Where in an address space the pages of the images belong now.

use crate::range::PageRange;

/// Pages in a row that are expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// Where they belong now.
    pub(super) run: u64,
    /// Bytes.
    pub(super) len: u64,
    /// Where they were at the dump, which is where the store has them.
    pub(super) img: u64,
}

impl Piece {
    fn end(&self) -> u64 {
        self.run + self.len
    }

    /// The part of it within `start..end` of the running process.
    fn clip(&self, start: u64, end: u64) -> Option<Self> {
        let low = self.run.max(start);
        let high = self.end().min(end);
        (low < high).then(|| Self {
            run: low,
            len: high - low,
            img: self.img + (low - self.run),
        })
    }

    /// The part of it that was within `start..end` at the dump.
    fn clip_img(&self, start: u64, end: u64) -> Option<Self> {
        let low = self.img.max(start);
        let high = (self.img + self.len).min(end);
        (low < high).then(|| Self {
            run: self.run + (low - self.img),
            len: high - low,
            img: low,
        })
    }
}

/// The pieces of an address space, by where they belong now. A page of the images is in at most one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table {
    pieces: Vec<Piece>,
    /// How many pieces are not where they were at the dump.
    moved: usize,
}

impl Table {
    /// Everything where it was at the dump.
    pub(super) fn new(ranges: &[PageRange]) -> Self {
        let piece = |range: &PageRange| Piece {
            run: range.start,
            len: range.bytes(),
            img: range.start,
        };
        Self {
            pieces: ranges.iter().map(piece).collect(),
            moved: 0,
        }
    }

    /// The rest of the piece from this address on, if one is there.
    pub(super) fn at(&self, run: u64) -> Option<Piece> {
        let index = self.first_behind(run);
        self.pieces
            .get(index)?
            .clip(run, u64::MAX)
            .filter(|piece| piece.run == run)
    }

    /// The widest range round `run` within `low..high` in which no piece lies. `run` itself is in none.
    pub(super) fn gap(&self, run: u64, low: u64, high: u64) -> (u64, u64) {
        let index = self.first_behind(run);
        let before = index.checked_sub(1).and_then(|index| self.pieces.get(index));
        (
            before.map_or(low, |piece| piece.end().max(low)),
            self.pieces.get(index).map_or(high, |piece| piece.run.min(high)),
        )
    }

    /// Where the pages that were at `start..end` belong now; those that have gone are left out.
    pub(super) fn placed(&self, start: u64, end: u64) -> Vec<Piece> {
        if self.moved == 0 {
            let from = self.first_behind(start);
            return self.pieces[from..]
                .iter()
                .map_while(|piece| piece.clip_img(start, end))
                .collect();
        }
        let mut found: Vec<_> = self
            .pieces
            .iter()
            .filter_map(|piece| piece.clip_img(start, end))
            .collect();
        found.sort_unstable_by_key(|piece| piece.img);
        found
    }

    /// Bytes of pages that were at `start` or behind it.
    pub(super) fn bytes_from(&self, start: u64) -> u64 {
        self.pieces
            .iter()
            .filter_map(|piece| piece.clip_img(start, u64::MAX))
            .map(|piece| piece.len)
            .sum()
    }

    /// Forgets what belongs into `start..end`.
    pub(super) fn drop_run(&mut self, start: u64, end: u64) {
        let from = self.first_behind(start);
        let to = from + self.pieces[from..].partition_point(|piece| piece.run < end);
        if start >= end || from == to {
            return;
        }
        let left = self.pieces[from].clip(0, start);
        let right = self.pieces[to - 1].clip(end, u64::MAX);
        self.pieces.splice(from..to, left.into_iter().chain(right));
        self.count();
    }

    /// Follows a mapping of `len` bytes from `from` to `to`.
    pub(super) fn remap(&mut self, from: u64, to: u64, len: u64) {
        let end = from.saturating_add(len);
        let mut taken: Vec<_> = self.pieces[self.first_behind(from)..]
            .iter()
            .map_while(|piece| piece.clip(from, end))
            .collect();
        self.drop_run(from, end);
        self.drop_run(to, to.saturating_add(len));
        for piece in &mut taken {
            piece.run = piece.run - from + to;
        }
        let at = self.first_behind(to);
        self.pieces.splice(at..at, taken);
        self.count();
    }

    /// Forgets pages that were at `start..end`, wherever they belong now.
    pub(super) fn drop_img(&mut self, start: u64, end: u64) {
        for piece in self.placed(start, end) {
            self.drop_run(piece.run, piece.end());
        }
    }

    /// As words, for [`Table::decode`].
    pub(super) fn encode(&self) -> Vec<u64> {
        self.pieces
            .iter()
            .flat_map(|piece| [piece.run, piece.len, piece.img])
            .collect()
    }

    /// From words.
    pub(super) fn decode(words: &[u64]) -> Self {
        let pieces = words.as_chunks::<3>().0;
        let mut table = Self {
            pieces: pieces
                .iter()
                .map(|&[run, len, img]| Piece { run, len, img })
                .collect(),
            moved: 0,
        };
        table.count();
        table
    }

    /// The first piece that ends behind the address.
    fn first_behind(&self, run: u64) -> usize {
        self.pieces.partition_point(|piece| piece.end() <= run)
    }

    fn count(&mut self) {
        self.moved = self.pieces.iter().filter(|piece| piece.run != piece.img).count();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::range::PAGE;

    #[derive(Debug, Clone)]
    enum Step {
        Drop(u64, u64),
        Remap(u64, u64, u64),
        DropImg(u64, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let page = 0..64_u64;
        prop_oneof![
            (page.clone(), 1..9_u64).prop_map(|(at, len)| Step::Drop(at, len)),
            (page.clone(), page.clone(), 1..9_u64).prop_map(|(from, to, len)| Step::Remap(from, to, len)),
            (page, 1..9_u64).prop_map(|(at, len)| Step::DropImg(at, len)),
        ]
    }

    proptest! {
        /// Against a map with one entry for each page.
        #[test]
        fn pieces_follow_the_pages(starts in proptest::collection::btree_map(0..60_u64, 1..4_u64, 0..12), steps in proptest::collection::vec(step(), 0..20), asked in (0..64_u64, 1..40_u64)) {
            let mut ranges: Vec<PageRange> = Vec::new();
            for (start, pages) in starts {
                if ranges.last().is_none_or(|last| last.end() <= start * PAGE) {
                    ranges.push(PageRange { start: start * PAGE, pages });
                }
            }
            let mut table = Table::new(&ranges);
            let mut model: BTreeMap<u64, u64> = ranges.iter().flat_map(|range| (0..range.pages).map(|i| range.start / PAGE + i)).map(|page| (page, page)).collect();
            for step in steps {
                match step {
                    Step::Drop(at, len) => {
                        table.drop_run(at * PAGE, (at + len) * PAGE);
                        model.retain(|run, _| !(at..at + len).contains(run));
                    }
                    Step::Remap(from, to, len) => {
                        // Ranges that overlap are refused by mremap(2).
                        if from < to + len && to < from + len {
                            continue;
                        }
                        table.remap(from * PAGE, to * PAGE, len * PAGE);
                        model.retain(|run, _| !(to..to + len).contains(run));
                        model = model.into_iter().map(|(run, img)| (if (from..from + len).contains(&run) { run - from + to } else { run }, img)).collect();
                    }
                    Step::DropImg(at, len) => {
                        table.drop_img(at * PAGE, (at + len) * PAGE);
                        model.retain(|_, img| !(at..at + len).contains(img));
                    }
                }
            }
            table = Table::decode(&table.encode());
            for page in 0..80 {
                prop_assert_eq!(table.at(page * PAGE).map(|piece| piece.img / PAGE), model.get(&page).copied());
                if !model.contains_key(&page) {
                    let (low, high) = table.gap(page * PAGE, 0, 100 * PAGE);
                    let below = model.range(..page).next_back().map_or(0, |(run, _)| run + 1);
                    let above = model.range(page..).next().map_or(100, |(run, _)| *run);
                    prop_assert_eq!((low / PAGE, high / PAGE), (below, above));
                }
            }
            let (start, end) = (asked.0, asked.0 + asked.1);
            let placed: Vec<_> = table.placed(start * PAGE, end * PAGE).iter().flat_map(|piece| (0..piece.len / PAGE).map(|i| (piece.img / PAGE + i, piece.run / PAGE + i))).collect();
            let mut expected: Vec<_> = model.iter().filter(|(_, img)| (start..end).contains(img)).map(|(run, img)| (*img, *run)).collect();
            expected.sort_unstable();
            prop_assert_eq!(placed, expected);
            prop_assert_eq!(table.bytes_from(start * PAGE) / PAGE, model.values().filter(|img| **img >= start).count() as u64);
        }
    }
}
