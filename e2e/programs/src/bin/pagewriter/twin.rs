//! Processes that share memory with each other by copy-on-write: one that forks, a twin for life, and one after the
//! other that lives for a few seconds. Each goes on writing, and looks at all pages by an index of its own; half of the pages
//! are never written again and stay common to all.
//!
//! They have one thread each, and their heap grows by `brk`, which malloc in another thread would not bear.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::area::Area;
use crate::board::{Board, ProcessSlot};
use crate::page::{self, Page, SIZE};
use crate::processes::{ending, fork};
use crate::random::Random;
use crate::settings::MOST;

const PAGES: usize = 256;
const NAME: u64 = 0x300 << 32;
const HEAP: u64 = 0x301 << 32;
/// How long a fleeting child lives.
const LIFE: Duration = Duration::from_secs(3);
const REST: Duration = Duration::from_millis(3);
/// The heap grows by a page once a second, up to so many pages.
const HEAP_PAGES: usize = 2048;

struct Memory {
    area: Area,
    index: [u64; PAGES],
    random: Random,
    heap: Vec<*mut libc::c_void>,
}

/// Runs until the program ends. For a process with one thread.
pub(crate) fn work(board: &'static Board) -> Result<(), Failure> {
    let mut memory = Memory {
        area: Area::private(PAGES)?,
        index: [1; PAGES],
        random: Random::new(77),
        heap: Vec::with_capacity(HEAP_PAGES),
    };
    memory.area.fill(0..PAGES, NAME, 1);
    memory.grow()?;
    let slot = &board.processes[MOST];
    // Its own writes go to other pages than its parent's.
    let twin = fork(|| memory.live(board, None, 1, None))?;
    slot.ready.store(1, Ordering::Release);
    memory.live(board, Some(slot), 0, Some(twin))
}

impl Memory {
    /// Writes and looks, until `end` or the program's. `residue`: it writes pages whose number leaves that by four.
    fn live(
        &mut self,
        board: &'static Board,
        slot: Option<&'static ProcessSlot>,
        residue: usize,
        twin: Option<libc::pid_t>,
    ) -> Result<(), Failure> {
        let (mut child, mut grown) = (None, Instant::now());
        while !board.ends() {
            if let Err(what) = self.step(residue) {
                board.damaged(&format!("twin {residue}: {what}"));
                return Err(what);
            }
            if grown.elapsed() > Duration::from_secs(1) {
                grown = Instant::now();
                self.grow()?;
            }
            if let (Some(slot), Some(twin)) = (slot, twin) {
                slot.rounds.fetch_add(1, Ordering::Relaxed);
                let pid = match child {
                    Some(pid) => pid,
                    None => fork(|| self.fleeting(board))?,
                };
                child = Some(pid).filter(|&pid| !over(pid, board, "a forked child"));
                over(twin, board, "the forked twin");
                let wanted = board.wanted.load(Ordering::Acquire);
                if wanted != slot.verified.load(Ordering::Relaxed) {
                    self.all().inspect_err(|what| board.damaged(&what.to_string()))?;
                    slot.pages
                        .store((PAGES + self.heap.len()) as u64, Ordering::Release);
                    slot.verified.store(wanted, Ordering::Release);
                }
            }
            std::thread::sleep(REST);
        }
        Ok(())
    }

    /// A life that begins with the memory of its parent, and ends.
    fn fleeting(&mut self, board: &'static Board) -> Result<(), Failure> {
        let began = Instant::now();
        while began.elapsed() < LIFE && !board.ends() {
            self.step(0)
                .inspect_err(|what| board.damaged(&format!("forked child: {what}")))?;
            std::thread::sleep(REST);
        }
        self.all()
            .inspect_err(|what| board.damaged(&format!("forked child: {what}")))
    }

    /// Writes two pages, looks at a few.
    fn step(&mut self, residue: usize) -> Result<(), Failure> {
        for _ in 0..2 {
            let at = self.random.below(PAGES / 4) * 4 + residue;
            self.area.expect(at..at + 1, NAME, self.index[at])?;
            self.index[at] += 1;
            self.area.fill(at..at + 1, NAME, self.index[at]);
        }
        for _ in 0..8 {
            let at = self.random.below(PAGES);
            self.area.expect(at..at + 1, NAME, self.index[at])?;
        }
        let at = self.random.below(self.heap.len());
        self.heap_page(at)
    }

    fn all(&self) -> Result<(), Failure> {
        for (at, sequence) in self.index.iter().enumerate() {
            self.area.expect(at..at + 1, NAME, *sequence)?;
        }
        (0..self.heap.len()).try_for_each(|at| self.heap_page(at))
    }

    /// One more page of heap.
    fn grow(&mut self) -> Result<(), Failure> {
        if self.heap.len() == HEAP_PAGES {
            return Ok(());
        }
        let bytes = libc::intptr_t::try_from(2 * SIZE)?;
        // SAFETY: this process has one thread; malloc bears a break that others have moved upwards.
        let base = unsafe { libc::sbrk(bytes) };
        if base.addr() == usize::MAX {
            return Err(std::io::Error::last_os_error().into());
        }
        let page = base.wrapping_byte_add(base.align_offset(SIZE));
        self.heap.push(page);
        let at = self.heap.len() - 1;
        page::write(heap_page(page), HEAP + at as u64, 1);
        Ok(())
    }

    fn heap_page(&self, at: usize) -> Result<(), Failure> {
        match page::read(heap_page(self.heap[at]), HEAP + at as u64) {
            Ok(1) => Ok(()),
            Ok(other) => Err(format!("page {at} of the heap has version {other}").into()),
            Err(what) => Err(format!("page {at} of the heap at {:p} {what}", self.heap[at]).into()),
        }
    }
}

fn heap_page<'a>(base: *mut libc::c_void) -> &'a Page {
    // SAFETY: a whole page inside two that `grow` got from the break, which never shrinks.
    unsafe { &*base.cast::<Page>() }
}

/// Whether a child has ended; badly, or although it should not have, is damage.
fn over(pid: libc::pid_t, board: &Board, name: &str) -> bool {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    if unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } != pid {
        return false;
    }
    if status != 0 {
        board.damaged(&format!("{name} has ended ({})", ending(status)));
    }
    true
}
