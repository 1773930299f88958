//! Memory to be copied: a part of this process's own.

use godwit_memory::{
    range::PageRange,
    track::{Dirty, ProcessRound, Round},
};

/// As the container is said to count.
pub(super) const PROCESS: i32 = 7;
const PAGE: usize = 4096;

/// Some pages in a row.
pub(super) struct Area {
    bytes: Vec<u8>,
    first: usize,
    pages: usize,
}

impl Area {
    /// Pages of zeros, repetitions, and others.
    pub(super) fn new(pages: usize) -> Self {
        let mut area = Self::empty(pages);
        let all: Vec<usize> = (0..pages).collect();
        area.write(&all, 1);
        area
    }

    /// Pages that all differ and cannot be compressed.
    pub(super) fn random(pages: usize) -> Self {
        let mut area = Self::empty(pages);
        let mut state = 1;
        for word in area.bytes.as_chunks_mut::<8>().0 {
            *word = next(&mut state).to_le_bytes();
        }
        area
    }

    fn empty(pages: usize) -> Self {
        let bytes = vec![0_u8; (pages + 1) * PAGE];
        let first = bytes.as_ptr().align_offset(PAGE);
        Self { bytes, first, pages }
    }

    pub(super) fn pages(&self) -> usize {
        self.pages
    }

    pub(super) fn address(&self, page: usize) -> u64 {
        self.page(page).as_ptr().addr() as u64
    }

    pub(super) fn page(&self, page: usize) -> &[u8] {
        let start = self.first + page * PAGE;
        &self.bytes[start..start + PAGE]
    }

    /// Gives these pages another content: a third each zeros, one of few, one of its own.
    pub(super) fn write(&mut self, pages: &[usize], seed: u64) {
        for page in pages {
            let start = self.first + page * PAGE;
            let content = &mut self.bytes[start..start + PAGE];
            let mut state = seed.wrapping_add(*page as u64);
            match next(&mut state) % 3 {
                0 => content.fill(0),
                1 => content.fill(u8::try_from(state >> 60).unwrap() | 1),
                _ => {
                    for word in content.as_chunks_mut::<8>().0 {
                        *word = next(&mut state).to_le_bytes();
                    }
                }
            }
        }
    }

    /// These pages as a look would have found them; in ascending order.
    pub(super) fn round(&self, pages: &[usize]) -> Round {
        let mut ranges: Vec<Dirty> = Vec::new();
        for page in pages {
            let start = self.address(*page);
            match ranges.last_mut() {
                Some(last) if last.range.end() == start => last.range.pages += 1,
                _ => ranges.push(Dirty {
                    range: PageRange { start, pages: 1 },
                    executable: false,
                }),
            }
        }
        Round {
            processes: vec![ProcessRound {
                pid: i32::try_from(std::process::id()).unwrap(),
                ns_pid: PROCESS,
                ranges,
            }],
            ..Round::default()
        }
    }
}

fn next(state: &mut u64) -> u64 {
    *state = state
        .wrapping_add(0x9e37_79b9_7f4a_7c15)
        .wrapping_mul(0xbf58_476d_1ce4_e5b9);
    *state ^ *state >> 31
}
