//! Tracking by soft-dirty bits (Documentation/admin-guide/mm/soft-dirty.rst), for kernels without asynchronous write-protection.
//!
//! Reading the bits and clearing them are two steps, so the process has to stand still in between, or writes between them would be
//! lost. Where it cannot be stopped, a round clears first and then reports everything, which is always right. The bits need nothing for
//! new mappings (they count as dirty), and a process that begins another program has all of them set.

use std::io;
use std::time::{Duration, Instant};

use tracing::debug;

use super::cut::{Unknown, cut};
use super::error::TrackError;
use super::maps::{self, Mapping};
use super::process::Process;
use super::scan::{Pagemap, Region, Wanted};
use super::stopped::Stopped;
use super::watch::{Look, Watch};

/// How long the threads of a process may take to stop.
const PATIENCE: Duration = Duration::from_millis(300);

/// What the method does to a process.
trait Bits {
    /// Clears all bits.
    fn clear(&mut self) -> io::Result<()>;
    /// The pages whose bit is set.
    fn dirty(&mut self) -> io::Result<Vec<Region>>;
    /// All pages.
    fn all(&mut self) -> io::Result<Vec<Region>>;
    /// Stops all threads; `false` if that failed, and then they run.
    fn stop(&mut self) -> bool;
    /// Lets them run. Gives for how long they were stopped.
    fn go(&mut self) -> Duration;
}

/// One look.
fn take(bits: &mut impl Bits, begun: bool, frozen: bool) -> io::Result<(Vec<Region>, Duration)> {
    if frozen {
        // Nothing is cleared: should the process run again, its pages are told once more.
        let found = if begun { bits.dirty() } else { bits.all() };
        return found.map(|found| (found, Duration::ZERO));
    }
    if !begun || !bits.stop() {
        bits.clear()?;
        return bits.all().map(|found| (found, Duration::ZERO));
    }
    let found = bits.dirty().and_then(|found| bits.clear().map(|()| found));
    let stopped = bits.go();
    found.map(|found| (found, stopped))
}

/// A process whose bits are read.
#[derive(Debug, Default)]
pub struct SoftDirty {
    begun: bool,
}

impl SoftDirty {
    /// Nothing is done before the first look.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Watch for SoftDirty {
    fn look(
        &mut self,
        process: &Process,
        mappings: &[Mapping],
        pagemap: &Pagemap,
        frozen: bool,
    ) -> Result<Look, TrackError> {
        let pid = process.pid;
        let mut kernel = Kernel {
            pid,
            runs: maps::runs(mappings),
            pagemap,
            stopped: None,
        };
        let (found, stopped) =
            take(&mut kernel, self.begun, frozen).map_err(|source| TrackError::SoftDirty { pid, source })?;
        self.begun |= !frozen;
        Ok(Look::Dirty {
            ranges: cut(&found, mappings, Unknown::Left),
            stopped,
        })
    }
}

/// Clears the soft-dirty bits of a process.
pub fn clear(pid: i32) -> io::Result<()> {
    std::fs::write(format!("/proc/{pid}/clear_refs"), "4")
}

struct Kernel<'a> {
    pid: i32,
    runs: Vec<(u64, u64)>,
    pagemap: &'a Pagemap,
    stopped: Option<(Stopped, Instant)>,
}

impl Kernel<'_> {
    fn scan(&self, wanted: Wanted) -> io::Result<Vec<Region>> {
        Ok(self.pagemap.scan_all(wanted, &self.runs)?)
    }
}

impl Bits for Kernel<'_> {
    fn clear(&mut self) -> io::Result<()> {
        clear(self.pid)
    }

    fn dirty(&mut self) -> io::Result<Vec<Region>> {
        self.scan(Wanted::SoftDirty)
    }

    fn all(&mut self) -> io::Result<Vec<Region>> {
        self.scan(Wanted::All)
    }

    fn stop(&mut self) -> bool {
        let begin = Instant::now();
        match Stopped::all_threads(self.pid, PATIENCE) {
            Ok(stopped) => {
                self.stopped = Some((stopped, begin));
                true
            }
            Err(error) => {
                debug!(pid = self.pid, %error, "not stopped: everything is reported");
                false
            }
        }
    }

    fn go(&mut self) -> Duration {
        self.stopped
            .take()
            .map_or(Duration::ZERO, |(_stopped, begin)| begin.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::range::PAGE;

    /// A process of 8 pages, which writes page `n` before the n-th step if it can run.
    struct Fake {
        bits: [bool; 8],
        written_unseen: Vec<usize>,
        step: usize,
        running: bool,
        stoppable: bool,
        log: Vec<&'static str>,
    }

    impl Fake {
        fn new(stoppable: bool) -> Self {
            Self {
                bits: [true; 8],
                written_unseen: Vec::new(),
                step: 0,
                running: true,
                stoppable,
                log: Vec::new(),
            }
        }

        fn step(&mut self, name: &'static str) {
            if self.running {
                self.bits[self.step % 8] = true;
                self.written_unseen.push(self.step % 8);
            }
            self.step += 1;
            self.log.push(name);
        }

        fn told(&mut self, pages: &[usize]) -> Vec<Region> {
            self.written_unseen.retain(|page| !pages.contains(page));
            pages
                .iter()
                .map(|&page| {
                    let start = page as u64 * PAGE;
                    Region::new(start, start + PAGE)
                })
                .collect()
        }
    }

    impl Bits for Fake {
        fn clear(&mut self) -> io::Result<()> {
            self.step("clear");
            self.bits = [false; 8];
            Ok(())
        }

        fn dirty(&mut self) -> io::Result<Vec<Region>> {
            self.step("dirty");
            let pages: Vec<usize> = (0..8).filter(|&page| self.bits[page]).collect();
            Ok(self.told(&pages))
        }

        fn all(&mut self) -> io::Result<Vec<Region>> {
            self.step("all");
            Ok(self.told(&[0, 1, 2, 3, 4, 5, 6, 7]))
        }

        fn stop(&mut self) -> bool {
            self.step("stop");
            self.running = !self.stoppable;
            self.stoppable
        }

        fn go(&mut self) -> Duration {
            self.running = true;
            self.step("go");
            Duration::from_micros(1)
        }
    }

    /// Every page that was written before the process was frozen has been told in the end.
    fn nothing_is_lost(stoppable: bool) -> Vec<&'static str> {
        let mut fake = Fake::new(stoppable);
        let (first, _) = take(&mut fake, false, false).unwrap();
        assert_eq!(first.len(), 8, "everything at first");
        for _ in 0..5 {
            take(&mut fake, true, false).unwrap();
        }
        fake.running = false;
        take(&mut fake, true, true).unwrap();
        assert!(fake.written_unseen.is_empty(), "{:?}", fake.written_unseen);
        fake.log
    }

    #[test]
    fn no_write_is_lost() {
        let log = nothing_is_lost(true);
        assert_eq!(log[..6], ["clear", "all", "stop", "dirty", "clear", "go"]);
        assert_eq!(log.last(), Some(&"dirty"));
    }

    #[test]
    fn without_stopping_everything_is_told() {
        let log = nothing_is_lost(false);
        assert_eq!(log[2..5], ["stop", "clear", "all"]);
    }

    #[test]
    fn an_unknown_frozen_process_is_told_in_whole_and_not_touched() {
        let mut fake = Fake::new(true);
        fake.running = false;
        assert_eq!(take(&mut fake, false, true).unwrap().0.len(), 8);
        assert_eq!(fake.log, ["all"]);
    }
}
