//! The restored application: memory that is registered with a userfaultfd as CRIU's restorer does it, and a model of what it must hold.
//!
//! It takes commands from its standard input and answers each with one line.

use std::collections::BTreeMap;
use std::io::{BufRead as _, Write as _};

use super::layout::{ARENA, BASE, PAGE, kind, mix, second, word};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    /// What was at this address at the dump.
    Image(u64),
    Zero,
    /// Written after the restore.
    Own(u64),
}

struct App {
    ns_pid: i32,
    uffd: i32,
    pages: u64,
    /// By address.
    model: BTreeMap<u64, Expect>,
    arena: u64,
    random: u64,
    children: Vec<i32>,
}

pub fn main(ns_pid: i32, pages: u64) {
    // SAFETY: a new process that has nothing at these addresses.
    let uffd = unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        let at = map(BASE, pages * PAGE);
        assert_eq!(at, BASE);
        let fd = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK);
        let fd = i32::try_from(fd).unwrap();
        assert!(fd >= 0);
        // What CRIU asks for: events of fork, mremap, madvise and munmap.
        let mut api = [0xAA_u64, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6, 0];
        assert_eq!(libc::ioctl(fd, 0xc018_aa3f, &raw mut api), 0);
        fd
    };
    let mut app = App {
        ns_pid,
        uffd,
        pages,
        model: (0..pages)
            .map(|i| (BASE + i * PAGE, Expect::Image(BASE + i * PAGE)))
            .collect(),
        arena: ARENA,
        random: 0,
        children: Vec::new(),
    };
    answer(&format!("uffd {uffd}"));
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |i: usize| words[i].parse::<u64>().unwrap();
        match words[0] {
            "register" => app.register(BASE, BASE + app.pages * PAGE),
            // What CRIU does with a mapping that happens to be where it belongs: nothing.
            "register-first" => app.register(BASE, second(app.pages)),
            "register-second" => app.register(second(app.pages), BASE + app.pages * PAGE),
            "verify" => app.verify(),
            "stress" => app.stress(number(1), number(2)),
            "peek" => peek(BASE + number(1) * PAGE),
            "touch" => app.check(BASE + number(1) * PAGE),
            "touchall" => {
                let all: Vec<u64> = app.model.keys().copied().collect();
                for page in all {
                    app.check(page);
                }
            }
            "drop" => app.give_up(BASE + number(1) * PAGE, number(2)),
            "anew" => app.map_anew(BASE + number(1) * PAGE, number(2)),
            "unmap" => app.unmap(BASE + number(1) * PAGE, number(2)),
            "move" => assert!(app.relocate(BASE + number(1) * PAGE, number(2))),
            "fork" => app.fork(),
            "reap" => app.reap(),
            other => panic!("{other}"),
        }
        answer("ok");
    }
}

/// Touches a page whatever it holds.
fn peek(page: u64) {
    // SAFETY: the caller names a page of the region.
    unsafe { std::ptr::read_volatile(page as *const u64) };
}

fn answer(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

unsafe fn map(at: u64, bytes: u64) -> u64 {
    // SAFETY: the caller owns the addresses.
    unsafe {
        libc::mmap(
            at as *mut libc::c_void,
            bytes as usize,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE,
            -1,
            0,
        ) as u64
    }
}

fn in_one_mapping(start: u64, end: u64) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().any(|line| {
        let (low, high) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let number = |text| u64::from_str_radix(text, 16).unwrap();
        number(low) <= start && end <= number(high)
    })
}

impl App {
    fn register(&self, start: u64, end: u64) {
        let mut call = [start, end - start, 1, 0];
        // SAFETY: memory of this process; the argument lives through the call.
        assert_eq!(unsafe { libc::ioctl(self.uffd, 0xc020_aa00, &raw mut call) }, 0);
        // As the restorer does: its descriptor goes.
        // SAFETY: nothing uses it from here on.
        unsafe { libc::close(self.uffd) };
    }

    fn check(&self, page: u64) {
        let expect = self.model[&page];
        for index in 0..PAGE / 8 {
            let wanted = match expect {
                Expect::Image(address) => word(self.ns_pid, address, index),
                Expect::Zero => 0,
                Expect::Own(tag) => tag.wrapping_add(index),
            };
            // SAFETY: the page is in the model, so it is mapped.
            let found = unsafe { std::ptr::read_volatile((page + index * 8) as *const u64) };
            assert!(
                found == wanted,
                "process {} page {page:#x} word {index}: {found:#x}, not {wanted:#x} ({expect:x?}, {:?})",
                std::process::id(),
                kind(BASE)
            );
        }
    }

    fn verify(&self) {
        for page in self.model.keys() {
            self.check(*page);
        }
    }

    fn set(&mut self, start: u64, pages: u64, expect: Option<Expect>) {
        for page in (0..pages).map(|i| start + i * PAGE) {
            match expect {
                Some(expect) => self.model.insert(page, expect),
                None => self.model.remove(&page),
            };
        }
    }

    fn give_up(&mut self, start: u64, pages: u64) {
        let bytes = (pages * PAGE) as usize;
        // SAFETY: pages of the model.
        let result = unsafe { libc::madvise(start as *mut _, bytes, libc::MADV_DONTNEED) };
        assert_eq!(result, 0);
        self.set(start, pages, Some(Expect::Zero));
    }

    fn unmap(&mut self, start: u64, pages: u64) {
        // SAFETY: pages of the model.
        let result = unsafe { libc::munmap(start as *mut _, (pages * PAGE) as usize) };
        assert_eq!(result, 0);
        self.set(start, pages, None);
    }

    fn map_anew(&mut self, start: u64, pages: u64) {
        self.unmap(start, pages);
        // SAFETY: just unmapped.
        assert_eq!(unsafe { map(start, pages * PAGE) }, start);
        self.set(start, pages, Some(Expect::Zero));
    }

    /// Moves pages into the arena; not if they lie in several mappings.
    fn relocate(&mut self, start: u64, pages: u64) -> bool {
        let to = self.arena;
        self.arena += (pages + 3) * PAGE;
        self.remap(start, pages, to)
    }

    fn remap(&mut self, start: u64, pages: u64, to: u64) -> bool {
        let bytes = (pages * PAGE) as usize;
        // Kernels since 6.17 move several mappings at once, but stop half-way at one with a userfaultfd.
        if !in_one_mapping(start, start + pages * PAGE) {
            return false;
        }
        // SAFETY: pages of the model; the target is free.
        let moved = unsafe {
            libc::mremap(
                start as *mut _,
                bytes,
                bytes,
                libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED,
                to as *mut libc::c_void,
            )
        };
        if moved as u64 != to {
            return false;
        }
        for i in 0..pages {
            let expect = self.model.remove(&(start + i * PAGE)).unwrap();
            self.model.insert(to + i * PAGE, expect);
        }
        true
    }

    /// A child that finds all that its parent has, changes some of it, and ends.
    fn fork(&mut self) {
        // SAFETY: this process has one thread.
        match unsafe { libc::fork() } {
            0 => {
                for _ in 0..40 {
                    let (start, pages) = self.pick();
                    self.check(start);
                    if self.draw().is_multiple_of(4) {
                        self.give_up(start, pages);
                    }
                    if self.draw().is_multiple_of(8) {
                        self.relocate(start, pages);
                    }
                }
                self.verify();
                std::process::exit(0);
            }
            child => self.children.push(child),
        }
        assert!(self.children.last().is_some_and(|child| *child > 0));
    }

    fn reap(&mut self) {
        for child in self.children.drain(..) {
            let mut status = 0;
            // SAFETY: a child of this process.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0, "a child found other memory than its parent had");
        }
    }

    fn draw(&mut self) -> u64 {
        self.random = mix(self.random);
        self.random
    }

    /// Some pages in a row.
    fn pick(&mut self) -> (u64, u64) {
        let at = if self.draw().is_multiple_of(3) && self.arena > ARENA {
            ARENA + self.draw() % (self.arena - ARENA)
        } else {
            BASE + self.draw() % (self.pages * PAGE)
        };
        let next = self.model.range(at - at % PAGE..).next();
        let start = next
            .or(self.model.first_key_value())
            .map(|(page, _)| *page)
            .unwrap();
        let most = 1 + self.draw() % 64;
        let pages = (1..most)
            .take_while(|i| self.model.contains_key(&(start + i * PAGE)))
            .count();
        (start, pages as u64 + 1)
    }

    fn stress(&mut self, seed: u64, steps: u64) {
        self.random = seed;
        for step in 0..steps {
            let (start, pages) = self.pick();
            match self.draw() % 16 {
                0 | 1 => self.give_up(start, pages),
                2 => self.map_anew(start, pages),
                3 => self.unmap(start, pages.min(4)),
                4..=6 => drop(self.relocate(start, pages)),
                7 | 8 => {
                    // Back to where it was, if that is free.
                    let Expect::Image(home) = self.model[&start] else {
                        continue;
                    };
                    if (0..pages).all(|i| {
                        let page = home + i * PAGE;
                        !self.model.contains_key(&page) && page < BASE + self.pages * PAGE
                    }) && !(start < home + pages * PAGE && home < start + pages * PAGE)
                    {
                        self.remap(start, pages, home);
                    }
                }
                9 => {
                    for mode in [libc::PROT_READ, libc::PROT_READ | libc::PROT_WRITE] {
                        // SAFETY: pages of the model.
                        unsafe { libc::mprotect(start as *mut _, (pages * PAGE) as usize, mode) };
                        self.check(start);
                    }
                }
                10 | 11 => {
                    let tag = self.draw();
                    for index in 0..PAGE / 8 {
                        // SAFETY: a page of the model.
                        unsafe {
                            std::ptr::write_volatile(
                                (start + index * 8) as *mut u64,
                                tag.wrapping_add(index),
                            );
                        };
                    }
                    self.set(start, 1, Some(Expect::Own(tag)));
                }
                12 if step.is_multiple_of(4) && self.children.len() < 12 => self.fork(),
                _ => self.check(start),
            }
        }
    }
}
