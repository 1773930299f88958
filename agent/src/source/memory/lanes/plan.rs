//! One round, cut into pieces that lanes take as they can.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use godwit_memory::{page_set::PageSet, range::PageRange, track::Round};

/// Pages of a piece at most, 4 MiB: what one lane reads on its own, and what is sent again as a whole if its connection breaks.
pub(super) const PIECE_PAGES: u64 = 1024;

/// Pages in a row of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The process, as this node counts.
    pub(super) pid: i32,
    /// The same, as its container counts.
    pub(super) ns_pid: i32,
    /// Its pages.
    pub(super) range: PageRange,
}

/// What a lane reads and sends as one object.
#[derive(Debug)]
pub(super) struct Piece {
    /// Index of the container.
    pub(super) container: usize,
    /// [`PIECE_PAGES`] at most in all.
    pub(super) spans: Vec<Span>,
}

/// One container in a round.
#[derive(Debug)]
struct Part {
    name: String,
    round: Round,
    kept: Mutex<PageSet>,
}

/// A round of all containers.
#[derive(Debug)]
pub(in crate::source::memory) struct Plan {
    number: u32,
    parts: Vec<Part>,
    pieces: Vec<Piece>,
    next: AtomicUsize,
}

impl Plan {
    /// The round of that number: of each container its name, what was found to be sent, and all that the target has of it.
    pub(in crate::source::memory) fn new(
        number: u32,
        containers: impl IntoIterator<Item = (String, Round, PageSet)>,
    ) -> Self {
        let parts: Vec<Part> = containers
            .into_iter()
            .map(|(name, round, kept)| Part {
                name,
                round,
                kept: Mutex::new(kept),
            })
            .collect();
        let pieces = parts
            .iter()
            .enumerate()
            .flat_map(|(container, part)| {
                cut(spans(&part.round))
                    .into_iter()
                    .map(move |spans| Piece { container, spans })
            })
            .collect();
        Self {
            number,
            parts,
            pieces,
            next: AtomicUsize::new(0),
        }
    }

    /// Number of the round, from 1.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// How many containers there are.
    pub(super) fn containers(&self) -> usize {
        self.parts.len()
    }

    /// Name of a container.
    pub(super) fn name(&self, container: usize) -> &str {
        self.parts.get(container).map_or("", |part| &part.name)
    }

    /// All that is to be sent of a container: process as the container counts, and pages.
    pub(super) fn dirty(&self, container: usize) -> impl Iterator<Item = (i32, PageRange)> {
        let round = self.parts.get(container).map(|part| &part.round);
        round
            .into_iter()
            .flat_map(spans)
            .map(|span| (span.ns_pid, span.range))
    }

    /// The next piece that nobody has taken yet.
    pub(super) fn take(&self) -> Option<usize> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        (index < self.pieces.len()).then_some(index)
    }

    /// A piece.
    pub(super) fn piece(&self, index: usize) -> Option<&Piece> {
        self.pieces.get(index)
    }

    /// The target has these pages of a container.
    pub(super) fn keep(&self, container: usize, pages: &[(i32, PageRange)]) {
        if let Some(part) = self.parts.get(container) {
            let mut kept = part.kept.lock().unwrap_or_else(PoisonError::into_inner);
            for (ns_pid, range) in pages {
                kept.insert_range(*ns_pid, *range);
            }
        }
    }

    /// How many pages are to be sent.
    pub(in crate::source::memory) fn pages(&self) -> u64 {
        let spans = self.pieces.iter().flat_map(|piece| &piece.spans);
        spans.map(|span| span.range.pages).sum()
    }

    /// The round is over: of each container all that the target has, in their order.
    pub(in crate::source::memory) fn finish(self) -> impl Iterator<Item = PageSet> {
        self.parts
            .into_iter()
            .map(|part| part.kept.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}

fn spans(round: &Round) -> impl Iterator<Item = Span> {
    round.processes.iter().flat_map(|process| {
        process.ranges.iter().map(|dirty| Span {
            pid: process.pid,
            ns_pid: process.ns_pid,
            range: dirty.range,
        })
    })
}

/// Cuts into pieces, each as full as possible, so that many small processes do not make many small pieces.
fn cut(spans: impl IntoIterator<Item = Span>) -> Vec<Vec<Span>> {
    let mut pieces = Vec::new();
    let mut piece = Vec::new();
    let mut room = PIECE_PAGES;
    for mut span in spans {
        while span.range.pages > 0 {
            let taken = span.range.pages.min(room);
            let range = PageRange {
                pages: taken,
                ..span.range
            };
            piece.push(Span { range, ..span });
            span.range = PageRange {
                start: range.end(),
                pages: span.range.pages - taken,
            };
            room -= taken;
            if room == 0 {
                pieces.push(std::mem::take(&mut piece));
                room = PIECE_PAGES;
            }
        }
    }
    if !piece.is_empty() {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use godwit_memory::range::PAGE;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_all_of_it_in_order_and_full(lengths in prop::collection::vec(1..3000_u64, 0..12)) {
            let mut start = 0;
            let spans: Vec<Span> = lengths.iter().map(|pages| {
                let range = PageRange { start, pages: *pages };
                start = range.end() + PAGE;
                Span { pid: 7, ns_pid: 1, range }
            }).collect();
            let pieces = cut(spans.clone());
            for (at, piece) in pieces.iter().enumerate() {
                let pages: u64 = piece.iter().map(|span| span.range.pages).sum();
                prop_assert!(pages == PIECE_PAGES || (at + 1 == pieces.len() && (1..PIECE_PAGES).contains(&pages)));
            }
            let each = |spans: &[Span]| -> Vec<u64> {
                spans.iter().flat_map(|span| (0..span.range.pages).map(|page| span.range.start + page * PAGE)).collect()
            };
            prop_assert_eq!(each(&pieces.concat()), each(&spans));
        }
    }
}
