//! Pages that are given back to the kernel, and must be zeros from then on.

use super::Ways;
use crate::Failure;
use crate::area::Area;

const PAGES: usize = 96;
/// Those in the middle are given back.
const FIRST: usize = 24;
const COUNT: usize = 48;
const END: usize = FIRST + COUNT;

pub(super) struct Dropped {
    area: Area,
    name: u64,
    round: u64,
}

impl Dropped {
    pub(super) fn new(name: u64) -> Result<Self, Failure> {
        let area = Area::private(PAGES)?;
        area.fill(0..PAGES, name, 1);
        Ok(Self { area, name, round: 0 })
    }
}

impl Ways for Dropped {
    fn step(&mut self) -> Result<(), Failure> {
        self.area.expect(0..FIRST, self.name, 1)?;
        self.area.expect(END..PAGES, self.name, 1)?;
        self.round += 1;
        match self.round % 3 {
            // They lie as they were given back: not even read.
            1 => self.area.advise(FIRST, COUNT, libc::MADV_DONTNEED),
            2 => {
                self.area.expect(FIRST..END, self.name, 0)?;
                self.area.fill(FIRST..FIRST + COUNT / 2, self.name, 2);
                Ok(())
            }
            _ => {
                self.area.expect(FIRST..FIRST + COUNT / 2, self.name, 2)?;
                self.area.expect(FIRST + COUNT / 2..END, self.name, 0)
            }
        }
    }
}
