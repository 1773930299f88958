//! The programs that are tracked: this test binary, begun again with an environment variable.
//!
//! They run before `main`, from the list of initialisers, so that a program is nothing but itself: no test harness, no threads.

use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

pub const VARIABLE: &str = "GODWIT_TRACKED_PROGRAM";

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

extern "C" fn start() {
    if std::env::var_os(VARIABLE).is_some() {
        // Nothing of a failed test may stay behind.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        unsafe { libc::alarm(120) };
        obey();
        std::process::exit(0);
    }
}

pub static SIGNALS: AtomicU64 = AtomicU64::new(0);
static WORK: AtomicU64 = AtomicU64::new(0);
static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn count(_signal: i32) {
    SIGNALS.fetch_add(1, Ordering::SeqCst);
}

/// Reads one command a line, `NAME NUMBER…`, and answers each with one number.
fn obey() {
    let mut line = String::new();
    // No buffer that could swallow what an exec'd successor should read: commands come one at a time.
    while std::io::stdin().lock().read_line(&mut line).unwrap_or(0) > 0 {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default().to_owned();
        let numbers: Vec<u64> = words.map(|word| word.parse().unwrap()).collect();
        let answer = command(&name, &numbers);
        println!("{answer}");
        std::io::stdout().flush().unwrap();
        line.clear();
    }
}

const PAGE: usize = 4096;

fn errno() -> i64 {
    i64::from(std::io::Error::last_os_error().raw_os_error().unwrap())
}

fn fill(start: u64, pages: u64, value: u8) {
    for page in 0..pages as usize {
        unsafe { ((start as usize + page * PAGE) as *mut u8).write_volatile(value) };
    }
}

fn map(address: u64, bytes: usize, protection: i32, flags: i32, fd: i32) -> u64 {
    let result = unsafe { libc::mmap(address as *mut _, bytes, protection, flags, fd, 0) };
    assert_ne!(result, libc::MAP_FAILED, "mmap: {}", errno());
    result as u64
}

const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
const ANON: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

#[allow(clippy::cognitive_complexity)]
fn command(name: &str, numbers: &[u64]) -> i64 {
    let number = |index: usize| numbers[index];
    let bytes = |index: usize| numbers[index] as usize * PAGE;
    let answer: u64 = match name {
        "pid" => u64::from(std::process::id()),
        // Pages → address. Not next to other mappings.
        "map" => {
            let start = map(0, bytes(0) + 2 * PAGE, libc::PROT_NONE, ANON, -1) + PAGE as u64;
            map(start, bytes(0), RW, ANON | libc::MAP_FIXED, -1)
        }
        // The kernel unmaps the old one first; in two steps of ours another thread could get between them.
        "remap_same" => map(number(0), bytes(1), RW, ANON | libc::MAP_FIXED, -1),
        "unmap" => unsafe { libc::munmap(number(0) as *mut _, bytes(1)) as u64 },
        "fill" => {
            fill(number(0), number(1), number(2) as u8);
            0
        }
        "read" => (0..number(1) as usize)
            .map(|page| unsafe {
                u64::from(((number(0) as usize + page * PAGE) as *const u8).read_volatile())
            })
            .sum(),
        "kernel_write" => {
            let file = std::fs::File::open("/dev/zero").unwrap();
            let result = unsafe {
                libc::read(
                    std::os::fd::AsRawFd::as_raw_fd(&file),
                    number(0) as *mut _,
                    bytes(1),
                )
            };
            result as u64
        }
        "brk" => {
            let old = unsafe { libc::sbrk(bytes(0) as isize) } as u64;
            old.next_multiple_of(PAGE as u64)
        }
        "mremap" => {
            let to = map(0, bytes(2), libc::PROT_NONE, ANON, -1);
            let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
            let result = unsafe { libc::mremap(number(0) as *mut _, bytes(1), bytes(2), flags, to) };
            assert_ne!(result, libc::MAP_FAILED, "mremap: {}", errno());
            result as u64
        }
        "madvise" => unsafe { libc::madvise(number(0) as *mut _, bytes(1), number(2) as i32) as u64 },
        "mprotect" => unsafe { libc::mprotect(number(0) as *mut _, bytes(1), number(2) as i32) as u64 },
        "mlock" => unsafe { libc::mlock(number(0) as *const _, bytes(1)) as u64 },
        "munlock" => unsafe { libc::munlock(number(0) as *const _, bytes(1)) as u64 },
        // Pages (multiple of 512) → address of huge pages.
        "huge" => {
            let huge = 2 << 20;
            let start = map(0, bytes(0) + huge, RW, ANON, -1).next_multiple_of(huge as u64);
            unsafe { libc::madvise(start as *mut _, bytes(0), libc::MADV_HUGEPAGE) };
            start
        }
        "file" => {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&vec![b'f'; bytes(0)]).unwrap();
            map(
                0,
                bytes(0),
                RW,
                libc::MAP_PRIVATE,
                std::os::fd::AsRawFd::as_raw_fd(&file),
            )
        }
        "shared" => map(0, bytes(0), RW, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1),
        // Address, pages → PID of a child that has written 99 into every second page.
        "fork" => match unsafe { libc::fork() } {
            0 => {
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                for page in (0..number(1)).step_by(2) {
                    fill(number(0) + page * PAGE as u64, 1, 99);
                }
                SIGNALS.store(1, Ordering::SeqCst);
                loop {
                    unsafe { libc::pause() };
                }
            }
            pid => {
                std::thread::sleep(Duration::from_millis(100));
                pid as u64
            }
        },
        // → PID of a child in a namespace of its own, where it is number 1.
        "fork_namespace" => {
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0);
            command("fork", numbers).cast_unsigned()
        }
        // A child that shares this memory for so many milliseconds and then ends.
        "vfork" => unsafe {
            let stack = map(0, 16 * PAGE, RW, ANON, -1) + 16 * PAGE as u64;
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
            let pid = libc::clone(sleep_and_end, stack as *mut _, flags, number(0) as *mut _);
            libc::waitpid(pid, std::ptr::null_mut(), 0) as u64
        },
        "kill_child" => unsafe {
            libc::kill(number(0) as i32, libc::SIGKILL);
            libc::waitpid(number(0) as i32, std::ptr::null_mut(), 0) as u64
        },
        "exec" => {
            println!("0");
            std::io::stdout().flush().unwrap();
            let error =
                std::os::unix::process::CommandExt::exec(&mut std::process::Command::new("/proc/self/exe"));
            panic!("{error}");
        }
        // Threads that count.
        "threads" => {
            for _ in 0..number(0) {
                std::thread::spawn(|| {
                    while !STOP.load(Ordering::Relaxed) {
                        WORK.fetch_add(1, Ordering::Relaxed);
                        std::thread::yield_now();
                    }
                });
            }
            0
        }
        "work" => WORK.load(Ordering::SeqCst),
        // The main thread ends; the others go on.
        "end_main" => {
            std::thread::spawn(|| {
                loop {
                    std::thread::sleep(Duration::from_secs(1));
                }
            });
            println!("0");
            std::io::stdout().flush().unwrap();
            unsafe { libc::syscall(libc::SYS_exit, 0) as u64 }
        }
        "handler" => {
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            action.sa_sigaction = count as *const () as usize;
            action.sa_flags = number(1) as i32;
            unsafe { libc::sigaction(number(0) as i32, &raw const action, std::ptr::null_mut()) as u64 }
        }
        "signals" => SIGNALS.load(Ordering::SeqCst),
        "default_action" => {
            let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
            unsafe { libc::sigaction(number(0) as i32, std::ptr::null(), &raw mut action) };
            u64::from(action.sa_sigaction == libc::SIG_DFL)
        }
        "block" => {
            let set = number(0);
            unsafe { libc::syscall(libc::SYS_rt_sigprocmask, number(1), &raw const set, 0, 8) as u64 }
        }
        "seccomp" => return seccomp(),
        "userfaultfd" => {
            return match unsafe { libc::syscall(libc::SYS_userfaultfd, 1) } {
                -1 => -errno(),
                fd => fd,
            };
        }
        "setuid" => unsafe {
            libc::setgid(number(0) as u32);
            let result = libc::setuid(number(0) as u32) as u64;
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            result
        },
        // Milliseconds that the call took, or its error.
        "nanosleep" => {
            return timed(number(0), |time| unsafe {
                libc::syscall(libc::SYS_nanosleep, time, 0)
            });
        }
        "poll" => {
            return timed(number(0), |_| unsafe {
                i64::from(libc::poll(std::ptr::null_mut(), 0, number(0) as i32))
            });
        }
        "ppoll" => {
            return timed(number(0), |time| unsafe {
                let mask: u64 = 0;
                libc::syscall(libc::SYS_ppoll, 0, 0, time, &raw const mask, 8)
            });
        }
        "epoll" => {
            let fd = unsafe { libc::epoll_create1(0) };
            let mut event = libc::epoll_event { events: 0, u64: 0 };
            return timed(number(0), |_| unsafe {
                i64::from(libc::epoll_wait(fd, &raw mut event, 1, number(0) as i32))
            });
        }
        // Waits for a signal that does not come: EAGAIN, told as 0.
        "sigwait" => {
            let set = 1_u64 << (libc::SIGUSR2 - 1);
            return timed(number(0), |time| {
                let result = unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &raw const set, 0, time, 8) };
                if result == -1 && errno() == i64::from(libc::EAGAIN) {
                    0
                } else {
                    result
                }
            });
        }
        // A futex wait ends with ETIMEDOUT: told as 0.
        "futex" => {
            let word: u32 = 0;
            return timed(number(0), |time| {
                let result =
                    unsafe { libc::syscall(libc::SYS_futex, &raw const word, libc::FUTEX_WAIT, 0, time) };
                if result == -1 && errno() == i64::from(libc::ETIMEDOUT) {
                    0
                } else {
                    result
                }
            });
        }
        // The error with which pause ends.
        "pause" => {
            unsafe { libc::pause() };
            errno().cast_unsigned()
        }
        "sigsuspend" => {
            let mask = number(0);
            unsafe { libc::syscall(libc::SYS_rt_sigsuspend, &raw const mask, 8) };
            errno().cast_unsigned()
        }
        // Computes with all registers for some milliseconds; wrong sums are counted.
        "compute" => return compute(Duration::from_millis(number(0))),
        "scribble" => return scribble(numbers),
        other => panic!("no such command: {other}"),
    };
    answer.cast_signed()
}

/// The life of a child on borrowed memory.
extern "C" fn sleep_and_end(milliseconds: *mut libc::c_void) -> i32 {
    let milliseconds = milliseconds as i64;
    let pause = libc::timespec {
        tv_sec: milliseconds / 1000,
        tv_nsec: milliseconds % 1000 * 1_000_000,
    };
    unsafe { libc::nanosleep(&raw const pause, std::ptr::null_mut()) };
    unsafe { libc::_exit(0) }
}

fn timed(limit: u64, mut call: impl FnMut(*const libc::timespec) -> i64) -> i64 {
    let time = libc::timespec {
        tv_sec: (limit / 1000) as i64,
        tv_nsec: ((limit % 1000) * 1_000_000) as i64,
    };
    let begin = Instant::now();
    match call(&raw const time) {
        0 => begin.elapsed().as_millis() as i64,
        -1 => -errno(),
        stray => -100_000 + stray,
    }
}

fn seccomp() -> i64 {
    let number = libc::SYS_userfaultfd as u32;
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
            jt: 0,
            jf: 1,
            k: number,
        },
        statement(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
        ),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        i64::from(libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        ))
    }
}

/// Sums of numbers and of floats, with system calls in between: any register that is lost shows.
fn compute(time: Duration) -> i64 {
    let end = Instant::now() + time;
    let mut wrong = 0;
    let mut rounds = 0_i64;
    while Instant::now() < end {
        let mut integer = 1_u64;
        let mut float = 1.0_f64;
        for step in 1..2000_u64 {
            integer = integer.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step);
            float = float * 1.000_1 + step as f64;
            if step % 100 == 0 && unsafe { libc::getppid() } == 0 {
                wrong += 1;
            }
        }
        let (first_integer, first_float) = *FIRST.get_or_init(|| (integer, float.to_bits()));
        if (integer, float.to_bits()) != (first_integer, first_float) {
            wrong += 1;
        }
        rounds += 1;
    }
    if rounds == 0 { -1 } else { wrong }
}

static FIRST: std::sync::OnceLock<(u64, u64)> = std::sync::OnceLock::new();

/// Address, pages, threads, seed: threads that write sequence numbers to random pages for ever, and sometimes drop or move mappings.
fn scribble(numbers: &[u64]) -> i64 {
    let (start, pages, threads, seed) = (numbers[0], numbers[1], numbers[2], numbers[3]);
    for thread in 0..threads {
        std::thread::spawn(move || {
            let mut state = seed * 1000 + thread + 1;
            let mut sequence = 0_u64;
            let mut moving = map(0, 64 * PAGE, RW, ANON, -1);
            loop {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let page = start + (state % pages) * PAGE as u64 + (state >> 40) % 500 * 8;
                sequence += 1;
                unsafe { (page as *mut u64).write_volatile(sequence) };
                WORK.fetch_add(1, Ordering::Relaxed);
                if sequence.is_multiple_of(5_000) {
                    let dropped = start + (state >> 20) % pages * PAGE as u64;
                    unsafe { libc::madvise(dropped as *mut _, PAGE, libc::MADV_DONTNEED) };
                    fill(moving, 64, sequence as u8);
                    let other = map(0, 64 * PAGE, RW, ANON, -1);
                    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
                    let old = moving as *mut libc::c_void;
                    moving = unsafe { libc::mremap(old, 64 * PAGE, 64 * PAGE, flags, other) } as u64;
                    if sequence.is_multiple_of(20_000) {
                        command("remap_same", &[moving, 64]);
                        fill(moving, 7, 3);
                    }
                }
                if sequence.is_multiple_of(64) {
                    std::thread::yield_now();
                }
            }
        });
    }
    0
}
