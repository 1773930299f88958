//! A mapping that goes, and another one that comes at the same place.

use super::Ways;
use crate::Failure;
use crate::area::Area;

const PAGES: usize = 48;

pub(super) struct Back {
    /// `None` only while it is exchanged.
    area: Option<Area>,
    name: u64,
    round: u64,
}

impl Back {
    pub(super) fn new(name: u64) -> Result<Self, Failure> {
        let area = Area::private(PAGES)?;
        Ok(Self {
            area: Some(area),
            name,
            round: 0,
        })
    }
}

impl Ways for Back {
    fn step(&mut self) -> Result<(), Failure> {
        let old = self.area.take().ok_or("the mapping could not be made again")?;
        // Every other page stays absent.
        for at in (0..PAGES).step_by(2) {
            old.expect(at..at + 1, self.name, self.round)?;
            old.expect(at + 1..at + 2, self.name, 0)?;
        }
        let area = old.renew()?;
        area.expect(0..PAGES, self.name, 0)?;
        self.round += 1;
        for at in (0..PAGES).step_by(2) {
            area.fill(at..at + 1, self.name, self.round);
        }
        self.area = Some(area);
        Ok(())
    }
}
