//! What tracking costs: times of rounds over 1 GiB, and the throughput of a program that writes while it is tracked, relative to the
//! same program left alone. Needs root. `cargo run -p godwit-memory --example track_speed [MIB] [SECONDS]`
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::undocumented_unsafe_blocks,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a measurement for people, built of bare system calls"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use godwit_memory::pages::Reader;
use godwit_memory::range::PAGE;
use godwit_memory::track::{Method, Round, Tracker};

/// Shared with the child.
#[repr(C)]
struct Board {
    wanted: AtomicU64,
    done: AtomicU64,
    work: AtomicU64,
}

const PAGES: usize = PAGE as usize;

fn map(length: usize, flags: i32) -> *mut libc::c_void {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = flags | libc::MAP_ANONYMOUS;
    let address = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0) };
    assert_ne!(address, libc::MAP_FAILED);
    address
}

/// The child: does what the board says. 1: writes every page; 2: every hundredth; 3: a program's work for ever (finds and changes
/// values in all of its memory, 1 in 8 of its steps writes).
fn child(board: &Board, memory: *mut u64, length: usize) -> ! {
    let pages = length / PAGES;
    let mut state = 88_172_645_463_325_252_u64;
    let mut sum = 0_u64;
    loop {
        let wanted = board.wanted.load(Ordering::Acquire);
        if wanted != board.done.load(Ordering::Relaxed) {
            match wanted & 3 {
                3 => {
                    for _ in 0..200 {
                        state ^= state << 13;
                        state ^= state >> 7;
                        state ^= state << 17;
                        let cell = unsafe { memory.add(state as usize % length / 64 * 8) };
                        // About a microsecond of computing with what was found, as a key-value store has for each request.
                        let mut value = unsafe { cell.read_volatile() };
                        for _ in 0..250 {
                            value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                            value ^= value >> 29;
                        }
                        sum = sum.wrapping_add(value);
                        if state >> 61 == 0 {
                            unsafe { cell.write_volatile(sum) };
                        }
                    }
                    board.work.fetch_add(200, Ordering::Relaxed);
                    continue;
                }
                step => {
                    for page in (0..pages).step_by(if step == 1 { 1 } else { 100 }) {
                        unsafe { memory.add(page * PAGES / 8).write_volatile(wanted) };
                    }
                }
            }
            board.done.store(wanted, Ordering::Release);
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

struct Child {
    pid: i32,
    board: &'static Board,
    count: u64,
}

impl Child {
    fn start(length: usize) -> Self {
        let board: &'static Board = unsafe { &*map(PAGES, libc::MAP_SHARED).cast::<Board>() };
        let memory = map(length, libc::MAP_PRIVATE);
        unsafe { libc::madvise(memory, length, libc::MADV_NOHUGEPAGE) };
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            child(board, memory.cast(), length);
        }
        Self { pid, board, count: 0 }
    }

    /// Has a step done; gives how long it took.
    fn step(&mut self, step: u64) -> Duration {
        self.count += 4;
        let wanted = self.count | step;
        let begin = Instant::now();
        self.board.wanted.store(wanted, Ordering::Release);
        while self.board.done.load(Ordering::Acquire) != wanted {
            std::hint::spin_loop();
        }
        begin.elapsed()
    }

    fn work(&mut self) {
        self.count += 4;
        self.board.wanted.store(self.count | 3, Ordering::Release);
    }

    fn signal(&self, signal: i32) {
        unsafe { libc::kill(self.pid, signal) };
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), 0) };
    }
}

fn pages(round: &Round) -> u64 {
    round
        .processes
        .iter()
        .map(godwit_memory::track::ProcessRound::pages)
        .sum()
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn show(name: &str, rounds: &[Round]) {
    let mut times: Vec<f64> = rounds.iter().map(|round| milliseconds(round.scan)).collect();
    times.sort_by(f64::total_cmp);
    println!(
        "{name:34} {:8.2} ms (from {:.2} to {:.2}), {} pages",
        times[times.len() / 2],
        times[0],
        times[times.len() - 1],
        pages(&rounds[0])
    );
}

fn scans(length: usize) {
    let mut child = Child::start(length);
    child.step(1);
    let pass = child.step(1);
    let mut tracker = Tracker::new(Method::WriteProtect);
    let first = tracker.round(&[child.pid], false).unwrap();
    println!(
        "{:34} {:8.0} µs",
        "main thread stopped",
        first.stopped.as_secs_f64() * 1e6
    );
    show("first round", std::slice::from_ref(&first));
    let mut rounds = |before: &mut dyn FnMut(&mut Child)| -> Vec<Round> {
        (0..7)
            .map(|_| {
                before(&mut child);
                tracker.round(&[child.pid], false).unwrap()
            })
            .collect()
    };
    show("clean", &rounds(&mut |_| {}));
    show(
        "one page in a hundred written",
        &rounds(&mut |child| {
            child.step(2);
        }),
    );
    let mut passes = Vec::new();
    let all = rounds(&mut |child| passes.push(child.step(1)));
    show("all written", &all);
    passes.sort();
    let slow = passes[passes.len() / 2];
    println!(
        "{:34} {:8.2} µs a page ({:.0} ms for all, {:.0} ms untracked)",
        "first write after a round",
        slow.saturating_sub(pass).as_secs_f64() * 1e6 / (length / PAGES) as f64,
        milliseconds(slow),
        milliseconds(pass)
    );
    child.signal(libc::SIGSTOP);
    let frozen = tracker.round(&[child.pid], true).unwrap();
    show("frozen", &[frozen]);
    let whole = Tracker::new(Method::None).round(&[child.pid], true).unwrap();
    let reader = Reader::open(child.pid).unwrap().unwrap();
    let (mut buffer, mut read, mut sum) = (Vec::new(), 0, 0_u64);
    let begin = Instant::now();
    for dirty in whole.processes.iter().flat_map(|process| &process.ranges) {
        let result = reader.read(dirty.range, &mut buffer, |_, page| sum += u64::from(page[0]));
        read += result.unwrap();
    }
    let time = begin.elapsed();
    let speed = read as f64 * PAGE as f64 / time.as_secs_f64() / f64::from(1 << 30);
    println!(
        "{:34} {:8.0} ms, {speed:.2} GiB/s ({sum})",
        "reading all",
        milliseconds(time)
    );
    let begin = Instant::now();
    tracker.finish();
    println!("{:34} {:8.2} ms", "ending", milliseconds(begin.elapsed()));
}

/// Steps a second, with a round each so often.
fn throughput(child: &Child, seconds: u64, every: Option<Duration>) -> f64 {
    let mut tracker = Tracker::new(Method::WriteProtect);
    if every.is_some() {
        // The first round is a migration's, not the steady state's.
        tracker.round(&[child.pid], false).unwrap();
    }
    let before = child.board.work.load(Ordering::Relaxed);
    let begin = Instant::now();
    let end = begin + Duration::from_secs(seconds);
    while Instant::now() < end {
        std::thread::sleep(every.unwrap_or(Duration::from_secs(1)).min(end - Instant::now()));
        if every.is_some() {
            tracker.round(&[child.pid], false).unwrap();
        }
    }
    let work = child.board.work.load(Ordering::Relaxed) - before;
    work as f64 / begin.elapsed().as_secs_f64()
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse::<u64>().unwrap());
    let length = usize::try_from(arguments.next().unwrap_or(1024) << 20).unwrap();
    let seconds = arguments.next().unwrap_or(4);
    println!("{} MiB", length >> 20);
    scans(length);
    let mut child = Child::start(length);
    child.step(1);
    child.work();
    let second = Duration::from_secs(1);
    let mut ratios = [Vec::new(), Vec::new()];
    for _ in 0..3 {
        // Side by side: each measurement has its own base right before it.
        for (index, every) in [second, second / 5].into_iter().enumerate() {
            let base = throughput(&child, seconds, None);
            let tracked = throughput(&child, seconds, Some(every));
            ratios[index].push(tracked / base);
            println!(
                "rounds every {every:?}: {tracked:.0} of {base:.0} steps a second, {:.3}",
                tracked / base
            );
        }
    }
    for (index, name) in ["every second", "every 200 ms"].iter().enumerate() {
        ratios[index].sort_by(f64::total_cmp);
        println!(
            "throughput with a round {name}: {:.3} of untracked (median)",
            ratios[index][1]
        );
    }
}
