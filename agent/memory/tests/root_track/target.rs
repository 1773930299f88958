//! A tracked program and what is seen of it from outside.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use godwit_memory::pages::Reader;
use godwit_memory::range::{PAGE, PageRange};
use godwit_memory::track::{ProcessRound, Tracker};

use crate::program;

pub struct Target {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    pub pid: i32,
}

impl Target {
    pub fn start() -> Self {
        let mut child = Command::new("/proc/self/exe")
            .env(program::VARIABLE, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let pid = i32::try_from(child.id()).unwrap();
        let mut target = Self {
            child,
            input,
            output,
            pid,
        };
        target.ask("pid");
        target
    }

    pub fn tell(&mut self, command: &str) {
        writeln!(self.input, "{command}").unwrap();
    }

    pub fn answer(&mut self) -> i64 {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim()
            .parse()
            .unwrap_or_else(|error| panic!("the program has ended ({error}): {:?}", self.child.try_wait()))
    }

    pub fn ask(&mut self, command: &str) -> i64 {
        self.tell(command);
        self.answer()
    }

    pub fn address(&mut self, command: &str) -> u64 {
        u64::try_from(self.ask(command)).unwrap()
    }

    pub fn signal(&self, signal: i32) {
        assert_eq!(unsafe { libc::kill(self.pid, signal) }, 0);
    }

    /// Stops the whole process and waits until it has.
    pub fn stop(&self) {
        self.signal(libc::SIGSTOP);
        until("it stops", || self.state() == 'T');
    }

    pub fn state(&self) -> char {
        state(self.pid)
    }

    /// The main thread sleeps in a system call.
    pub fn asleep(&self) {
        until("it sleeps", || self.state() == 'S');
        std::thread::sleep(Duration::from_millis(30));
    }

    pub fn descriptors(&self) -> Vec<String> {
        let mut all: Vec<String> = std::fs::read_dir(format!("/proc/{}/fd", self.pid))
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                format!(
                    "{}: {}",
                    entry.file_name().display(),
                    std::fs::read_link(entry.path()).unwrap().display()
                )
            })
            .collect();
        all.sort();
        all
    }

    pub fn flags(&self) -> Vec<String> {
        flags(self.pid)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "waited for: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn state(pid: i32) -> char {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

pub fn flags(pid: i32) -> Vec<String> {
    std::fs::read_to_string(format!("/proc/{pid}/smaps"))
        .unwrap()
        .lines()
        .filter(|line| line.starts_with("VmFlags"))
        .map(str::to_owned)
        .collect()
}

/// Of a round, the pages of one process inside a range, by number from its start.
pub fn pages_in(process: &ProcessRound, start: u64, pages: u64) -> Vec<u64> {
    let end = start + pages * PAGE;
    process
        .ranges
        .iter()
        .flat_map(|dirty| (0..dirty.range.pages).map(|page| dirty.range.start + page * PAGE))
        .filter(|&address| start <= address && address < end)
        .map(|address| (address - start) / PAGE)
        .collect()
}

pub fn round(tracker: &mut Tracker, pid: i32) -> ProcessRound {
    let mut round = tracker.round(&[pid], false).unwrap();
    assert_eq!(round.processes.len(), 1);
    round.processes.remove(0)
}

pub fn none() -> Vec<u64> {
    Vec::new()
}

pub fn all(pages: u64) -> Vec<u64> {
    (0..pages).collect()
}

/// What a migration would have sent: pages by address.
#[derive(Default)]
pub struct Copy {
    pub pages: BTreeMap<u64, [u8; 4096]>,
    buffer: Vec<u8>,
}

impl Copy {
    pub fn take(&mut self, process: &ProcessRound) {
        let reader = Reader::open(process.pid).unwrap().unwrap();
        for dirty in &process.ranges {
            let pages = &mut self.pages;
            reader
                .read(dirty.range, &mut self.buffer, |address, content| {
                    pages.insert(address, *content);
                })
                .unwrap();
        }
    }

    /// Compares with the memory of a process that stands still: every populated page, found independently of the tracker. Gives how many
    /// were compared.
    pub fn compare(&self, pid: i32) -> usize {
        let reader = Reader::open(pid).unwrap().unwrap();
        let mut buffer = Vec::new();
        let mut compared = 0;
        let mut wrong = Vec::new();
        for (start, end) in lazy(pid) {
            for address in populated(pid, start, end) {
                let range = PageRange {
                    start: address,
                    pages: 1,
                };
                reader
                    .read(range, &mut buffer, |address, content| {
                        compared += 1;
                        if self.pages.get(&address) != Some(content) {
                            wrong.push((address, self.pages.contains_key(&address)));
                        }
                    })
                    .unwrap();
            }
        }
        assert!(
            wrong.is_empty(),
            "{} of {compared} wrong: {:x?}",
            wrong.len(),
            &wrong[..wrong.len().min(10)]
        );
        compared
    }
}

/// Private anonymous mappings, told in the simplest way.
fn lazy(pid: i32) -> Vec<(u64, u64)> {
    std::fs::read_to_string(format!("/proc/{pid}/maps"))
        .unwrap()
        .lines()
        .filter(|line| line.contains("p 00000000 00:00 0 ") && !line.contains("[v"))
        .map(|line| {
            let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            (
                u64::from_str_radix(start, 16).unwrap(),
                u64::from_str_radix(end, 16).unwrap(),
            )
        })
        .collect()
}

/// Pages that have an entry in the page map and are not the zero page.
pub fn populated(pid: i32, start: u64, end: u64) -> Vec<u64> {
    use std::os::unix::fs::FileExt;
    let pagemap = std::fs::File::open(format!("/proc/{pid}/pagemap")).unwrap();
    let pages = (end - start) / PAGE;
    let mut entries = vec![0; usize::try_from(pages).unwrap() * 8];
    pagemap.read_exact_at(&mut entries, start / PAGE * 8).unwrap();
    let zero = zero_frame();
    let (entries, _) = entries.as_chunks::<8>();
    entries
        .iter()
        .map(|entry| u64::from_ne_bytes(*entry))
        .zip(0..)
        // Present or swapped, no guard (bit 58), not the zero page.
        .filter(|(entry, _)| entry >> 62 != 0 && entry & (1 << 58) == 0)
        .filter(|(entry, _)| entry & ((1 << 55) - 1) != zero)
        .map(|(_, page)| start + page * PAGE)
        .collect()
}

/// The frame of the zero page, seen through a page of our own that was only read.
fn zero_frame() -> u64 {
    use std::os::unix::fs::FileExt;
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    unsafe { page.cast::<u8>().read_volatile() };
    let mut entry = [0; 8];
    std::fs::File::open("/proc/self/pagemap")
        .unwrap()
        .read_exact_at(&mut entry, page as u64 / PAGE * 8)
        .unwrap();
    unsafe { libc::munmap(page, 4096) };
    u64::from_ne_bytes(entry) & ((1 << 55) - 1)
}
