//! Shared anonymous memory: each process writes pages of its own there and looks at those of all others.

use std::time::{Duration, Instant};

use crate::Failure;
use crate::area::Area;
use crate::page;
use crate::settings::MOST;

/// Pages of each process.
const PAGES: usize = 8;
const NAME: u64 = 0x5a << 40;
/// How long another process may need to write a page, frozen in the middle of it or not.
const WRITTEN: Duration = Duration::from_secs(10);

pub(crate) struct Shared(Area);

impl Shared {
    /// To be made before the processes are forked.
    pub(crate) fn new() -> Result<&'static Self, Failure> {
        Ok(Box::leak(Box::new(Self(Area::shared(MOST * PAGES)?))))
    }

    /// Writes the pages of process `own` in version `round`, after looking at them as they were left.
    pub(crate) fn round(&self, own: usize, round: u64) -> Result<(), Failure> {
        let mine = own * PAGES..(own + 1) * PAGES;
        self.0
            .expect(mine.clone(), NAME, round - 1)
            .map_err(|what| format!("shared memory: {what}"))?;
        self.0.fill(mine.clone(), NAME, round);
        for at in (0..MOST * PAGES).filter(|at| !mine.contains(at)) {
            // The other one may be writing it: then it is well soon.
            let began = Instant::now();
            while let Err(what) = page::read(self.0.page(at), NAME + at as u64) {
                if began.elapsed() > WRITTEN {
                    return Err(format!("shared memory: page {at} of another process {what}").into());
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }
}
