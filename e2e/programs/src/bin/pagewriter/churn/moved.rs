//! A mapping that grows, moves and shrinks.

use super::Ways;
use crate::Failure;
use crate::area::Area;

const SMALL: usize = 64;
const LARGE: usize = 160;

pub(super) struct Moved {
    area: Area,
    name: u64,
    round: u64,
}

impl Moved {
    pub(super) fn new(name: u64) -> Result<Self, Failure> {
        let area = Area::private(SMALL)?;
        area.fill(0..SMALL, name, 1);
        Ok(Self { area, name, round: 0 })
    }
}

impl Ways for Moved {
    fn step(&mut self) -> Result<(), Failure> {
        self.round += 1;
        match self.round % 4 {
            // To another place, and larger: what is new is zeros.
            1 => {
                self.area.expect(0..SMALL, self.name, 1)?;
                self.area.move_to(Area::reserved(LARGE)?)?;
                self.area.expect(0..SMALL, self.name, 1)?;
                self.area.expect(SMALL..LARGE, self.name, 0)?;
                self.area.fill(SMALL..LARGE, self.name, self.round);
            }
            2 => {
                self.area.expect(0..SMALL, self.name, 1)?;
                self.area.expect(SMALL..LARGE, self.name, self.round - 1)?;
                // To another place of the same size.
                self.area.move_to(Area::reserved(LARGE)?)?;
            }
            3 => {
                self.area.expect(SMALL..LARGE, self.name, self.round - 2)?;
                self.area.resize(SMALL)?;
            }
            // Larger where it is, if there is room.
            _ => {
                self.area.expect(0..SMALL, self.name, 1)?;
                self.area.resize(LARGE)?;
                self.area.expect(SMALL..LARGE, self.name, 0)?;
                self.area.resize(SMALL)?;
            }
        }
        Ok(())
    }
}
