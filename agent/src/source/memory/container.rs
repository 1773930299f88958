//! The memory of one container: which pages, read, encoded. Everything here blocks, and runs on a thread of its own.

use std::{collections::BTreeMap, io};

use bytes::Bytes;
use godwit_container::cgroup::{CgroupError, Freezer};
use godwit_memory::{
    page_set::PageSet,
    pages::{ReadError, Reader},
    range::PageRange,
    track::{Method, ProcessRound, Round, TrackError, Tracker, pid_inside},
    wire::{Chooser, EncodeError, Encoder},
};
use thiserror::Error;

use super::pump::Batches;

/// Why memory cannot be copied.
#[derive(Debug, Error)]
pub enum MemoryError {
    /// Writes cannot be tracked.
    #[error(transparent)]
    Track(#[from] TrackError),
    /// Pages cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The container's processes are not known.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// Pages cannot be put on the wire.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// CRIU's images cannot be read.
    #[error(transparent)]
    Images(#[from] godwit_memory::images::ImageError),
    /// What was hidden from CRIU is not known.
    #[error(transparent)]
    Veil(#[from] godwit_runtime::veil::VeilError),
    /// Nobody takes the batches any more.
    #[error("the copy was given up")]
    GivenUp(#[source] io::Error),
    /// The thread has ended without a result.
    #[error("the thread that copies memory has ended before its time")]
    Thread,
}

impl MemoryError {
    /// Stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Track(error) => error.reason(),
            Self::Read(error) => error.reason(),
            Self::Cgroup(error) => error.reason(),
            Self::Encode(error) => error.reason(),
            Self::Images(error) => error.reason(),
            Self::Veil(error) => error.reason(),
            Self::GivenUp(_) => "CopyGivenUp",
            Self::Thread => "Internal",
        }
    }
}

/// A page that was read before CRIU began.
struct Early {
    ns_pid: i32,
    address: u64,
    page: Box<[u8; 4096]>,
}

/// The memory of one container on its way.
pub(super) struct ContainerMemory {
    /// Name of the container.
    pub(super) name: String,
    freezer: Freezer,
    tracker: Tracker,
    /// Where pages are read into.
    buffer: Vec<u8>,
    encoder: Encoder,
    chooser: Chooser,
    /// All that the target has.
    sent: PageSet,
    /// Found, but not sent yet.
    found: Option<Round>,
    early: Vec<Early>,
}

impl ContainerMemory {
    /// Begins to track the container's processes.
    pub(super) fn attach(name: String, freezer: Freezer, method: Method) -> Result<Self, MemoryError> {
        let mut memory = Self {
            name,
            freezer,
            tracker: Tracker::new(method),
            buffer: Vec::new(),
            encoder: Encoder::frozen_only(),
            chooser: Chooser::new(),
            sent: PageSet::default(),
            found: None,
            early: Vec::new(),
        };
        memory.look(false)?;
        Ok(memory)
    }

    /// Pages that were found and not sent yet.
    pub(super) fn found_pages(&self) -> u64 {
        self.found.as_ref().map_or(0, pages_of)
    }

    /// Finds out what was written since the last look.
    pub(super) fn look(&mut self, frozen: bool) -> Result<u64, MemoryError> {
        let processes: Vec<i32> = self.freezer.processes()?.into_iter().collect();
        let round = self.tracker.round(&processes, frozen)?;
        let pages = pages_of(&round);
        self.found = Some(round);
        Ok(pages)
    }

    /// What is to be sent next: what the last look has found, or a new one finds; and all that the target has, to be given back by
    /// [`Self::kept`].
    pub(super) fn take(&mut self) -> Result<(Round, PageSet), MemoryError> {
        if self.found.is_none() {
            self.look(false)?;
        }
        let found = self.found.take().unwrap_or_default();
        Ok((found, std::mem::take(&mut self.sent)))
    }

    /// The target has all this.
    pub(super) fn kept(&mut self, sent: PageSet) {
        self.sent = sent;
    }

    /// What has been learnt of the link and of compression while the pod ran.
    pub(super) fn learn(&mut self, chooser: Chooser) {
        self.chooser = chooser;
    }

    /// In the freeze, before CRIU begins: finds what is left, and reads those pages that CRIU may write to. For it lets the processes
    /// run a system call of its own: two bytes of some executable mapping are changed for a moment.
    pub(super) fn last_look(&mut self) -> Result<u64, MemoryError> {
        // What was found before and not sent is found again only if it is taken along.
        let before = self.found.take();
        let pages = self.look(true)?;
        if let (Some(before), Some(found)) = (before, self.found.as_mut()) {
            found.processes.extend(before.processes);
        }
        let Some(found) = self.found.take() else {
            return Ok(0);
        };
        let (early, buffer) = (&mut self.early, &mut self.buffer);
        for process in &found.processes {
            let ns_pid = process.ns_pid;
            let mut ranges = process.ranges.iter().filter(|dirty| dirty.executable).peekable();
            if ranges.peek().is_none() {
                continue;
            }
            let Some(reader) = Reader::open(process.pid)? else {
                continue;
            };
            for dirty in ranges {
                reader.read(dirty.range, buffer, |address, page| {
                    early.push(Early {
                        ns_pid,
                        address,
                        page: Box::new(*page),
                    });
                })?;
            }
        }
        self.found = Some(found);
        Ok(pages)
    }

    /// In the freeze, beside CRIU: sends what the last look has found.
    pub(super) fn last_round(&mut self, out: &Batches) -> Result<(), MemoryError> {
        self.encoder.begin_frozen_round()?;
        for early in std::mem::take(&mut self.early) {
            self.push(early.ns_pid, early.address, &early.page, out)?;
        }
        let Some(found) = self.found.take() else {
            return self.hand_over(out);
        };
        self.send(&found, out, |executable| !executable)
    }

    /// In the freeze, after CRIU: sends what its images lack and was never sent. Gives how many pages that were; none, if all is well.
    pub(super) fn missing(
        &mut self,
        lacking: &[(i32, Vec<PageRange>)],
        out: &Batches,
    ) -> Result<u64, MemoryError> {
        let pids: BTreeMap<i32, i32> = self
            .freezer
            .processes()?
            .into_iter()
            .filter_map(|pid| Some((process_id_inside(pid)?, pid)))
            .collect();
        self.encoder.begin_frozen_round()?;
        let mut pages = 0;
        for (ns_pid, ranges) in lacking {
            let Some(pid) = pids.get(ns_pid) else {
                continue;
            };
            let missing = ranges.iter().flat_map(|range| self.sent.missing(*ns_pid, *range));
            let missing: Vec<PageRange> = missing.collect();
            pages += missing.iter().map(|range| range.pages).sum::<u64>();
            self.send_ranges(*pid, *ns_pid, missing, out)?;
        }
        self.hand_over(out)?;
        Ok(pages)
    }

    fn send(
        &mut self,
        round: &Round,
        out: &Batches,
        wanted: impl Fn(bool) -> bool,
    ) -> Result<(), MemoryError> {
        for process in &round.processes {
            let ranges = process.ranges.iter().filter(|dirty| wanted(dirty.executable));
            self.send_ranges(process.pid, process.ns_pid, ranges.map(|dirty| dirty.range), out)?;
        }
        self.hand_over(out)
    }

    fn send_ranges(
        &mut self,
        pid: i32,
        ns_pid: i32,
        ranges: impl IntoIterator<Item = PageRange>,
        out: &Batches,
    ) -> Result<(), MemoryError> {
        // Opened anew each time: what was opened before an exec shows nothing of the program after it.
        let Some(reader) = Reader::open(pid)? else {
            return Ok(());
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut pushed = Ok(());
        for range in ranges {
            reader.read(range, &mut buffer, |address, page| {
                if pushed.is_ok() {
                    pushed = self.push(ns_pid, address, page, out);
                }
            })?;
            if pushed.is_err() {
                break;
            }
        }
        self.buffer = buffer;
        pushed
    }

    fn push(
        &mut self,
        ns_pid: i32,
        address: u64,
        page: &[u8; 4096],
        out: &Batches,
    ) -> Result<(), MemoryError> {
        if self.encoder.full() {
            self.hand_over(out)?;
        }
        self.encoder.push(ns_pid, address, page)?;
        self.sent.insert(ns_pid, address);
        Ok(())
    }

    fn hand_over(&mut self, out: &Batches) -> Result<(), MemoryError> {
        match out.clock.batch(&mut self.chooser, &mut self.encoder) {
            Some(batch) => out.send(Bytes::from(batch.bytes)).map_err(MemoryError::GivenUp),
            None => Ok(()),
        }
    }
}

/// A process's number in its own PID namespace; `None` if it has ended.
fn process_id_inside(pid: i32) -> Option<i32> {
    pid_inside(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn pages_of(round: &Round) -> u64 {
    round.processes.iter().map(ProcessRound::pages).sum()
}
