//! Tracking by asynchronous write-protection: the kernel itself notes the first write to each page and lets it happen.
//!
//! Each round registers all lazy mappings anew (idempotent, some microseconds each), because the kernel takes no new mapping in by
//! itself: not one from `mmap` or `brk`, not one that was moved, not one at the place of an old one. All populated pages of a mapping
//! that has just been registered count as written. What is populated and yet not registered afterwards is reported in whole, so a page
//! is either tracked or reported, whatever happens in between.
//!
//! A `fork`ed child inherits no tracking; it is a process of its own here.
//!
//! Figures of `examples/track_speed.rs` for 1 GiB (two cores that four times as many tasks wanted, unoptimised build): a thread stopped
//! once for 0.13 to 0.21 ms; a round over a clean process 1.2 to 6 ms, with one page in a hundred written 1.7 to 7 ms, with all written
//! 21 to 58 ms, in a frozen process 1.5 ms; ending 75 ms. The process pays at the first write to each page after a round: 0.55 µs on an
//! idle machine, 3 to 4 µs there.
//!
//! One gap is known. Between the two injected calls, about 0.1 ms, the descriptor is in the process's table; should another of its
//! threads fork just then, the child keeps a copy until its `exec` or end, and tracking ends only with that.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use tracing::debug;

use super::cut::{Unknown, cut, merge};
use super::error::TrackError;
use super::inject;
use super::maps::{self, Kind, Mapping};
use super::process::Process;
use super::scan::{Pagemap, Wanted};
use super::uffd::Userfaultfd;
use super::watch::{Look, Watch};

/// A process whose writes are noted.
#[derive(Debug)]
pub struct WriteProtect {
    userfaultfd: Userfaultfd,
    /// For how long beginning has stopped the process; told with the first look.
    stopped: Duration,
}

impl WriteProtect {
    /// Begins.
    pub fn begin(process: &Process, mappings: &[Mapping]) -> Result<Self, TrackError> {
        let pid = process.pid;
        let (fd, stopped) = inject::userfaultfd(pid, mappings, process.filtered)
            .map_err(|source| TrackError::Injection { pid, source })?;
        let userfaultfd =
            Userfaultfd::begin(fd).map_err(|errno| TrackError::NoWriteProtection(errno.into()))?;
        Ok(Self { userfaultfd, stopped })
    }

    /// Registers the mappings of a span; one by one if the span as a whole is refused (something unsuitable was mapped into a hole of it
    /// meanwhile, or one mapping belongs to a userfaultfd of the process's own). What stays out is reported in whole. `ESRCH` if the
    /// memory is gone.
    fn register(&self, (start, end): (u64, u64), mappings: &[Mapping]) -> Result<(), Errno> {
        match self.userfaultfd.register(start, end) {
            Ok(()) => return Ok(()),
            Err(Errno::ESRCH) => return Err(Errno::ESRCH),
            Err(_) => {}
        }
        let inside =
            |mapping: &&Mapping| mapping.kind == Kind::Lazy && start <= mapping.start && mapping.end <= end;
        for mapping in mappings.iter().filter(inside) {
            match self.userfaultfd.register(mapping.start, mapping.end) {
                Ok(()) => {}
                Err(Errno::ESRCH) => return Err(Errno::ESRCH),
                Err(error) => debug!(start = mapping.start, %error, "a mapping is not tracked"),
            }
        }
        Ok(())
    }
}

impl Watch for WriteProtect {
    fn look(
        &mut self,
        process: &Process,
        mappings: &[Mapping],
        pagemap: &Pagemap,
        _frozen: bool,
    ) -> Result<Look, TrackError> {
        let failed = |errno: Errno| TrackError::read(process.pid, "the page map")(io::Error::from(errno));
        let runs = maps::runs(mappings);
        for &run in &runs {
            if self.register(run, mappings).is_err() {
                return Ok(Look::Replaced);
            }
        }
        let end = mappings
            .iter()
            .map(|mapping| mapping.end)
            .filter(|&end| end >> 63 == 0);
        let end = end.max().unwrap_or(0);
        let mut written = Vec::new();
        pagemap
            .scan(Wanted::TakeWritten, 0, end, &mut written)
            .map_err(failed)?;
        let outside = pagemap.scan_all(Wanted::Unregistered, &runs).map_err(failed)?;
        let outside = cut(&outside, mappings, Unknown::Left);
        if !outside.is_empty() && !any_registered(pagemap, &runs).map_err(failed)? {
            // The descriptor belongs to memory which the process has left, kept alive by another one.
            return Ok(Look::Replaced);
        }
        Ok(Look::Dirty {
            ranges: merge(cut(&written, mappings, Unknown::Reported), outside),
            stopped: std::mem::take(&mut self.stopped),
        })
    }
}

fn any_registered(pagemap: &Pagemap, runs: &[(u64, u64)]) -> Result<bool, Errno> {
    for &(start, end) in runs {
        if pagemap.any(Wanted::Registered, start, end)? {
            return Ok(true);
        }
    }
    Ok(false)
}
