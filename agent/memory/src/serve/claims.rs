//! Who fills what: chunks in the order of the images, given to several threads.

use std::time::Instant;

use crate::range::PageRange;

/// Addresses `start..end` at the dump.
pub(super) type Chunk = (u64, u64);

/// The chunks of one address space. Addresses are those at the dump.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Everything below has been given out.
    next: u64,
    /// Given out ahead of everything else.
    first: Vec<Chunk>,
    in_flight: Vec<Chunk>,
    /// Given back, to be tried again.
    later: Vec<Chunk>,
    /// Nothing is given out before.
    pause: Option<Instant>,
}

impl Claims {
    /// From this address on; `first` is given out before.
    pub(super) fn new(next: u64, first: Vec<Chunk>) -> Self {
        Self {
            next,
            first,
            ..Self::default()
        }
    }

    /// The next chunk of at most `bytes` (a multiple of the page size) of the sorted ranges; `None` if there is none now.
    pub(super) fn claim(&mut self, ranges: &[PageRange], bytes: u64, now: Instant) -> Option<Chunk> {
        if self.pause.is_some_and(|pause| now < pause) {
            return None;
        }
        let chunk = if let Some(chunk) = self.later.pop() {
            chunk
        } else if let Some(chunk) = self.first.pop() {
            chunk
        } else {
            let range = ranges.get(ranges.partition_point(|range| range.end() <= self.next))?;
            let start = range.start.max(self.next);
            // Ends at multiples, so that sizes that change do not leave chunks at odd places.
            let end = (start - start % bytes + bytes).min(range.end());
            self.next = end;
            (start, end)
        };
        self.in_flight.push(chunk);
        Some(chunk)
    }

    /// The chunk is filled or need not be.
    pub(super) fn done(&mut self, chunk: Chunk) {
        self.in_flight.retain(|flying| *flying != chunk);
    }

    /// The chunk cannot be filled from `from` on, and probably no other one of this address space, before `due`.
    pub(super) fn later(&mut self, chunk: Chunk, from: u64, due: Instant) {
        self.done(chunk);
        self.later.push((from, chunk.1));
        self.pause = Some(due);
    }

    /// All pages below this address are filled or need not be; `u64::MAX` if none is left.
    pub(super) fn floor(&self, ranges: &[PageRange]) -> u64 {
        let next = ranges
            .get(ranges.partition_point(|range| range.end() <= self.next))
            .map_or(u64::MAX, |range| range.start.max(self.next));
        let open = self.in_flight.iter().chain(&self.first).chain(&self.later);
        open.map(|chunk| chunk.0).fold(next, u64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range::PAGE;

    #[test]
    fn the_floor_waits_for_the_slowest() {
        let range = |start, pages| PageRange {
            start: start * PAGE,
            pages,
        };
        let ranges = [range(3, 6), range(20, 1)];
        let now = Instant::now();
        let pages = |chunk: Option<Chunk>| chunk.map(|(start, end)| (start / PAGE, end / PAGE));
        let mut claims = Claims::new(0, vec![(20 * PAGE, 21 * PAGE)]);
        assert_eq!(claims.floor(&ranges), 3 * PAGE);
        let first = claims.claim(&ranges, 4 * PAGE, now).unwrap();
        assert_eq!(pages(Some(first)), Some((20, 21)));
        claims.done(first);
        let a = claims.claim(&ranges, 4 * PAGE, now).unwrap();
        let b = claims.claim(&ranges, 4 * PAGE, now).unwrap();
        let c = claims.claim(&ranges, 4 * PAGE, now).unwrap();
        assert_eq!(
            [a, b, c].map(|chunk| pages(Some(chunk)).unwrap()),
            [(3, 4), (4, 8), (8, 9)]
        );
        claims.done(b);
        claims.later(a, a.0, now);
        assert_eq!(claims.floor(&ranges), 3 * PAGE);
        assert_eq!(claims.claim(&ranges, 4 * PAGE, now), Some(a));
        claims.done(a);
        assert_eq!(claims.floor(&ranges), 8 * PAGE);
        claims.done(c);
        assert_eq!(pages(claims.claim(&ranges, 4 * PAGE, now)), Some((20, 21)));
        claims.done((20 * PAGE, 21 * PAGE));
        assert_eq!(claims.claim(&ranges, 4 * PAGE, now), None);
        assert_eq!(claims.floor(&ranges), u64::MAX);
    }
}
