//! One process: its memory, its writers, and the thread that looks at what they have written.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::board::{Board, ProcessSlot};
use crate::page::SIZE;
use crate::random::Random;
use crate::region::Region;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::thirds::Thirds;
use crate::{Failure, churn, writer};

/// Rest between two looks.
const REST: Duration = Duration::from_millis(5);
/// How long writers may take to stand still for a `verify`.
const STANDSTILL: Duration = Duration::from_secs(30);

pub(crate) struct Worker {
    pub(crate) number: usize,
    pub(crate) settings: Settings,
    pub(crate) board: &'static Board,
    pub(crate) region: Region,
    /// One page for each writer, which it writes all the time.
    pub(crate) beats: Region,
    thirds: Thirds,
    pause: AtomicBool,
    resting: AtomicUsize,
}

/// Does the work of process `number` until the program ends. Called once in a process with no other thread.
pub(crate) fn work(
    number: usize,
    settings: &Settings,
    board: &'static Board,
    shared: &'static Shared,
) -> Result<(), Failure> {
    let pages = usize::try_from(settings.memory)? / SIZE / settings.processes;
    let pages = pages.max(settings.threads);
    let thirds = if number == 0 { settings.thirds } else { 0 };
    let worker = Worker {
        number,
        settings: settings.clone(),
        board,
        region: Region::new(pages, 0x100 + number as u64)?,
        beats: Region::new(settings.threads, 0x200 + number as u64)?,
        thirds: Thirds::new(thirds)?,
        pause: AtomicBool::new(false),
        resting: AtomicUsize::new(0),
    };
    println!(
        "process {number} (pid {}): {pages} pages at {:#x}",
        std::process::id(),
        worker.region.address(0)
    );
    std::thread::scope(|scope| {
        let worker = &worker;
        for thread in 0..settings.threads {
            let own = pages * thread / settings.threads..pages * (thread + 1) / settings.threads;
            scope.spawn(move || writer::write(worker, thread, own));
        }
        if settings.churn {
            scope.spawn(move || churn::churn(number, board, shared));
        }
        worker.slot().ready.store(1, Ordering::Release);
        worker.look();
    });
    Ok(())
}

impl Worker {
    pub(crate) fn slot(&self) -> &'static ProcessSlot {
        &self.board.processes[self.number]
    }

    /// Asked by a writer before each batch: true if it had to stand still for a while.
    pub(crate) fn rests(&self) -> bool {
        if !self.pause.load(Ordering::Acquire) {
            return false;
        }
        self.resting.fetch_add(1, Ordering::AcqRel);
        while self.pause.load(Ordering::Acquire) && !self.board.ends() {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.resting.fetch_sub(1, Ordering::AcqRel);
        true
    }

    fn look(&self) {
        let mut random = Random::new(0x10_0000 + self.number as u64);
        let each = self.settings.look * u64::try_from(REST.as_millis()).unwrap_or(1) / 1000;
        while !self.board.ends() {
            let wanted = self.board.wanted.load(Ordering::Acquire);
            if wanted != self.slot().verified.load(Ordering::Relaxed) {
                self.verify();
                self.slot().verified.store(wanted, Ordering::Release);
            }
            for _ in 0..each {
                self.check(&self.region, random.below(self.region.pages()));
            }
            std::thread::sleep(REST);
        }
    }

    /// Every page, while no writer writes.
    fn verify(&self) {
        self.pause.store(true, Ordering::Release);
        let began = Instant::now();
        while self.resting.load(Ordering::Acquire) < self.settings.threads {
            if began.elapsed() > STANDSTILL {
                self.board.damaged(&format!(
                    "process {}: its writers do not stand still",
                    self.number
                ));
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut pages = 0;
        for region in [&self.region, &self.beats] {
            for at in 0..region.pages() {
                self.check(region, at);
                pages += 1;
            }
        }
        self.check_index();
        match self.thirds.check() {
            Ok(more) => pages += more,
            Err(what) => self.board.damaged(&what.to_string()),
        }
        self.slot().pages.store(pages, Ordering::Release);
        self.pause.store(false, Ordering::Release);
        while self.resting.load(Ordering::Acquire) > 0 && !self.board.ends() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// A page and its place in the index could both be old; the counts on the board, which is other memory, would not be.
    fn check_index(&self) {
        let writers = &self.slot().writers[..self.settings.threads];
        let written: u64 = writers
            .iter()
            .map(|writer| writer.written.load(Ordering::Acquire))
            .sum();
        let beats: u64 = writers
            .iter()
            .map(|writer| writer.beats.load(Ordering::Acquire))
            .sum();
        for (region, wanted, what) in [(&self.region, written, "pages"), (&self.beats, beats, "beats")] {
            let found = region.writes();
            let wanted = wanted + region.pages() as u64;
            if found != wanted {
                self.board.damaged(&format!(
                    "process {}: the index knows of {found} writes of {what} instead of {wanted}",
                    self.number
                ));
            }
        }
    }

    fn check(&self, region: &Region, at: usize) {
        if let Err(what) = region.check(at) {
            self.board.damaged(&format!("process {}: {what}", self.number));
        }
    }
}
