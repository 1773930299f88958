//! Which pages of a running process were written since the last look.
//!
//! ```text
//! round 1  ── new processes: begin to watch; report every page there is
//! round n  ── report what was written since
//! frozen   ── the same, without touching the process; what is not watched yet is reported in whole
//! ```
//!
//! Marking pages clean comes before reading them (see `pages`): a page written in between is read again in the next round.
//!
//! A tracker reports only what CRIU would restore lazily (`maps`); everything else CRIU copies itself. Nothing of it outlives the tracker:
//! the kernel ends the tracking when the descriptors are closed, also when the agent is killed.

mod cut;
mod error;
mod inject;
mod maps;
mod probe;
mod process;
mod scan;
mod soft_dirty;
mod stopped;
mod uffd;
mod watch;
mod write_protect;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub use self::error::TrackError;
pub use self::inject::InjectError;
pub use self::probe::{Probe, probe, probed};
use self::process::Process;
pub use self::process::{pid_inside, share_memory};
pub use self::scan::{Pagemap, Region, Wanted, knows_guards};
use self::soft_dirty::SoftDirty;
use self::watch::{Look, Untracked, Watch, whole};
use self::write_protect::WriteProtect;
use crate::range::{PAGE, PageRange};

/// How often watching a process that keeps beginning other programs is begun anew within one round.
const ATTEMPTS: u32 = 3;

/// When a process ends, its main thread may be the first to go; and the helper of an agent that was killed may still trace it. This
/// often, and at this distance, such a process is looked at again before it is refused.
const WAITS: u32 = 10;
const WAIT: Duration = Duration::from_millis(20);

/// How writes are noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// userfaultfd's asynchronous write-protection (Linux 6.7). The process is stopped once, for some 0.3 ms.
    WriteProtect,
    /// Soft-dirty bits (`CONFIG_MEM_SOFT_DIRTY`), as CRIU's pre-dump does. The process is stopped during each scan.
    SoftDirty,
    /// Not at all: each round reports everything.
    None,
}

impl Method {
    /// A stable name, for status.
    pub fn name(self) -> &'static str {
        match self {
            Self::WriteProtect => "WriteProtect",
            Self::SoftDirty => "SoftDirty",
            Self::None => "None",
        }
    }
}

/// Pages to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dirty {
    /// Where they are.
    pub range: PageRange,
    /// Whether they can be executed.
    pub executable: bool,
}

/// What a round found in one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessRound {
    /// Its PID in the agent's namespace.
    pub pid: i32,
    /// Its PID in the container, as CRIU's images have it.
    pub ns_pid: i32,
    /// The pages, in the order of their addresses, without overlaps.
    pub ranges: Vec<Dirty>,
}

impl ProcessRound {
    /// How many pages that are.
    pub fn pages(&self) -> u64 {
        self.ranges.iter().map(|dirty| dirty.range.pages).sum()
    }
}

/// What a round found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Round {
    /// The processes that have memory of their own.
    pub processes: Vec<ProcessRound>,
    /// The longest time for which a thread was stopped.
    pub stopped: Duration,
    /// How long the round took, without stopping: reading mappings, registering, scanning.
    pub scan: Duration,
}

struct Watched {
    started: u64,
    watch: Box<dyn Watch>,
}

/// Watches the processes of one container.
pub struct Tracker {
    method: Method,
    watched: BTreeMap<i32, Watched>,
}

impl std::fmt::Debug for Tracker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Tracker")
            .field("method", &self.method)
            .field("watched", &self.watched.keys())
            .finish()
    }
}

impl Tracker {
    /// A tracker that watches nothing yet.
    pub fn new(method: Method) -> Self {
        Self {
            method,
            watched: BTreeMap::new(),
        }
    }

    /// How it tracks.
    pub fn method(&self) -> Method {
        self.method
    }

    /// One round over all processes of the container (`pids`, in the agent's namespace). Processes that are new are watched from now on
    /// and reported in whole; those that are gone are forgotten. With `frozen` the processes cannot run now: none is stopped or made to
    /// run, and one that is not watched yet is only reported. Blocks; some milliseconds per GiB.
    ///
    /// A `vfork`ed child that still uses its parent's memory is left out until it has its own.
    pub fn round(&mut self, pids: &[i32], frozen: bool) -> Result<Round, TrackError> {
        check_page_size()?;
        let begin = Instant::now();
        self.watched.retain(|pid, _| pids.contains(pid));
        let mut round = Round::default();
        let mut stopped = Duration::ZERO;
        for &pid in pids {
            if let Some((process, time)) = self.look(pid, frozen)? {
                round.processes.push(process);
                round.stopped = round.stopped.max(time);
                stopped += time;
            } else {
                self.watched.remove(&pid);
            }
        }
        round.scan = begin.elapsed().saturating_sub(stopped);
        Ok(round)
    }

    /// Ends all tracking. Takes about 10 ms per GiB that was tracked. Dropping the tracker does the same.
    pub fn finish(&mut self) {
        self.watched.clear();
    }

    fn look(&mut self, pid: i32, frozen: bool) -> Result<Option<(ProcessRound, Duration)>, TrackError> {
        let read = |what| TrackError::read(pid, what);
        let mut attempt = 1;
        let mut waits = 0;
        loop {
            let Some(process) = Process::read(pid).map_err(read("its state"))? else {
                return Ok(None);
            };
            if process.zombie {
                if process.threads > 1 && waits < WAITS {
                    waits += 1;
                    std::thread::sleep(WAIT);
                    continue;
                }
                return match process.threads {
                    0 | 1 => Ok(None),
                    _ => Err(TrackError::ZombieLeader { pid }),
                };
            }
            if !process.memory {
                return Ok(None);
            }
            if self
                .watched
                .get(&pid)
                .is_some_and(|known| known.started != process.started)
            {
                self.watched.remove(&pid);
            }
            let Some(mappings) = process.mappings().map_err(read("its mappings"))? else {
                return Ok(None);
            };
            if !self.watched.contains_key(&pid) && self.shares(pid)? {
                return Ok(None);
            }
            if !frozen && !self.watched.contains_key(&pid) {
                if process.tracer != 0 && self.method != Method::None && waits < WAITS {
                    waits += 1;
                    std::thread::sleep(WAIT);
                    continue;
                }
                match self.begin(&process, &mappings) {
                    Ok(()) => {}
                    // It ended meanwhile, or began another program: the next look tells.
                    Err(_) if attempt < ATTEMPTS && has_changed(&process, &mappings) => {
                        attempt += 1;
                        std::thread::sleep(WAIT);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            let Some(pagemap) = Pagemap::open(pid).map_err(read("its page map"))? else {
                return Ok(None);
            };
            let look = match self.watched.get_mut(&pid) {
                Some(known) if attempt <= ATTEMPTS => {
                    known.watch.look(&process, &mappings, &pagemap, frozen)?
                }
                // Not known: the process is frozen. Known: it begins one program after the other, and is a new one in each round.
                _ => Look::Dirty {
                    ranges: whole(&process, &mappings, &pagemap)?,
                    stopped: Duration::ZERO,
                },
            };
            match look {
                Look::Dirty { ranges, stopped } => {
                    let ns_pid = process.ns_pid;
                    return Ok(Some((ProcessRound { pid, ns_pid, ranges }, stopped)));
                }
                Look::Replaced => {
                    self.watched.remove(&pid);
                    attempt += 1;
                }
            }
        }
    }

    /// Whether a process that is not watched uses the memory of one that is.
    fn shares(&self, pid: i32) -> Result<bool, TrackError> {
        for &known in self.watched.keys() {
            let shared = share_memory(pid, known)
                .map_err(|errno| TrackError::read(pid, "what it shares")(errno.into()))?;
            if shared {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Begins to watch a process.
    fn begin(&mut self, process: &Process, mappings: &[maps::Mapping]) -> Result<(), TrackError> {
        let pid = process.pid;
        if process.tracer != 0 && self.method != Method::None {
            let tracer = process.tracer;
            return Err(TrackError::AlreadyTraced { pid, tracer });
        }
        let watch: Box<dyn Watch> = match self.method {
            Method::WriteProtect => Box::new(WriteProtect::begin(process, mappings)?),
            Method::SoftDirty => Box::new(SoftDirty::new()),
            Method::None => Box::new(Untracked),
        };
        let started = process.started;
        self.watched.insert(pid, Watched { started, watch });
        Ok(())
    }
}

/// Whether a process is not what it was: it has ended, is about to, or has begun another program. The last shows by its vdso, which each program has at
/// another address, and which is the last that the kernel maps for one (`load_elf_binary`): without one it is beginning just now.
fn has_changed(before: &Process, mappings: &[maps::Mapping]) -> bool {
    match Process::read(before.pid) {
        Ok(Some(now)) if now.zombie || !now.memory || now.started != before.started => true,
        Ok(Some(now)) => match now.mappings() {
            Ok(Some(now)) => vdso(&now).is_none() || vdso(&now) != vdso(mappings),
            Ok(None) => true,
            Err(_) => false,
        },
        Ok(None) => true,
        Err(_) => false,
    }
}

fn vdso(mappings: &[maps::Mapping]) -> Option<u64> {
    mappings
        .iter()
        .find(|mapping| mapping.is_vdso())
        .map(|mapping| mapping.start)
}

/// Refuses kernels with other pages than ours.
fn check_page_size() -> Result<(), TrackError> {
    // SAFETY: sysconf takes a number and gives one.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    match u64::try_from(bytes) {
        Ok(PAGE) => Ok(()),
        bytes => Err(TrackError::PageSize {
            bytes: bytes.unwrap_or(0),
        }),
    }
}
