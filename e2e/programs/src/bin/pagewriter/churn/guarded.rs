//! Pages that nobody may read or write for a while, with their content.

use super::Ways;
use crate::Failure;
use crate::area::Area;

const PAGES: usize = 16;

pub(super) struct Guarded {
    area: Area,
    name: u64,
    round: u64,
}

impl Guarded {
    pub(super) fn new(name: u64) -> Result<Self, Failure> {
        let area = Area::private(PAGES)?;
        area.fill(0..PAGES, name, 1);
        area.protect(libc::PROT_NONE)?;
        Ok(Self { area, name, round: 1 })
    }
}

impl Ways for Guarded {
    fn step(&mut self) -> Result<(), Failure> {
        self.area.protect(libc::PROT_READ | libc::PROT_WRITE)?;
        self.area.expect(0..PAGES, self.name, self.round)?;
        self.round += 1;
        self.area.fill(0..PAGES, self.name, self.round);
        let protection = if self.round.is_multiple_of(2) {
            libc::PROT_READ
        } else {
            libc::PROT_NONE
        };
        self.area.protect(protection)
    }
}
