//! Memory in huge pages, of which single pages are written, and which are given back now and then.

use super::Ways;
use crate::Failure;
use crate::area::Area;
use crate::random::Random;

/// Pages of a huge page.
const HUGE: usize = 512;
const COUNT: usize = 3;
/// A huge page is given back once in so many rounds.
const OFTEN: u64 = 40;

pub(super) struct Huge {
    area: Area,
    /// The first page that is at the beginning of a huge page.
    first: usize,
    index: Vec<u64>,
    name: u64,
    random: Random,
    round: u64,
}

impl Huge {
    pub(super) fn new(name: u64) -> Result<Self, Failure> {
        let area = Area::private((COUNT + 1) * HUGE)?;
        let huge = HUGE * crate::page::SIZE;
        let first = (huge - area.address(0).addr() % huge) % huge / crate::page::SIZE;
        // Kernels without huge pages refuse; pages are as good then.
        let _ = area.advise(first, COUNT * HUGE, libc::MADV_HUGEPAGE);
        area.fill(first..first + COUNT * HUGE, name, 1);
        Ok(Self {
            area,
            first,
            index: vec![1; COUNT * HUGE],
            name,
            random: Random::new(name),
            round: 0,
        })
    }

    fn expect(&self, at: usize) -> Result<(), Failure> {
        let page = self.first + at;
        self.area.expect(page..page + 1, self.name, self.index[at])
    }
}

impl Ways for Huge {
    fn step(&mut self) -> Result<(), Failure> {
        self.round += 1;
        for _ in 0..32 {
            let at = self.random.below(COUNT * HUGE);
            self.expect(at)?;
        }
        for _ in 0..4 {
            let at = self.random.below(COUNT * HUGE);
            self.expect(at)?;
            self.index[at] += 1;
            let page = self.first + at;
            self.area.fill(page..page + 1, self.name, self.index[at]);
        }
        if self.round.is_multiple_of(OFTEN) {
            let which = self.random.below(COUNT) * HUGE;
            for at in which..which + HUGE {
                self.expect(at)?;
            }
            self.area.advise(self.first + which, HUGE, libc::MADV_DONTNEED)?;
            self.index[which..which + HUGE].fill(0);
        }
        Ok(())
    }
}
