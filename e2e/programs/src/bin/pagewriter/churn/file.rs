//! A private mapping of a file, of which every third page was written.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::Ordering;

use super::Ways;
use crate::Failure;
use crate::area::Area;
use crate::page::{SIZE, WORDS};

const PAGES: usize = 24;

pub(super) struct Mapped {
    file: File,
    area: Area,
    pages: usize,
    name: u64,
    round: u64,
}

impl Mapped {
    pub(super) fn new(name: u64) -> Result<Self, Failure> {
        let file = File::open(std::env::current_exe()?)?;
        // Whole pages of the file.
        let pages = PAGES.min(usize::try_from(file.metadata()?.len())? / SIZE);
        let area = Area::of_file(&file, pages)?;
        let mapped = Self {
            file,
            area,
            pages,
            name,
            round: 1,
        };
        mapped.write();
        Ok(mapped)
    }

    fn write(&self) {
        for at in (0..self.pages).step_by(3) {
            self.area.fill(at..at + 1, self.name, self.round);
        }
    }
}

impl Ways for Mapped {
    fn step(&mut self) -> Result<(), Failure> {
        let mut wanted = [0; SIZE];
        for at in 0..self.pages {
            if at.is_multiple_of(3) {
                self.area.expect(at..at + 1, self.name, self.round)?;
                continue;
            }
            self.file.read_exact_at(&mut wanted, (at * SIZE) as u64)?;
            let found = self.area.page(at);
            let same = (0..WORDS).all(|word| {
                let bytes = found[word].load(Ordering::Relaxed).to_ne_bytes();
                bytes == wanted[word * 8..word * 8 + 8]
            });
            if !same {
                return Err(format!("page {at} is not what the file has").into());
            }
        }
        self.round += 1;
        self.write();
        Ok(())
    }
}
