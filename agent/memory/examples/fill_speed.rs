//! How fast the page server fills, and how long a touch waits meanwhile: `fill_speed [MIB [ROUNDS]]`, as root.
//!
//! For each variant a process with so much registered memory (every page data) is served; it touches pages at random places until all
//! is filled, and says how long each touch took that was not answered by the memory itself. Variants are measured in turn, round after
//! round, so that whatever else the machine does meets them alike. The server is `godwit-pages` beside this program (`cargo build` it
//! with the same profile first).

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a measurement"
)]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use godwit_memory::serve::{self, Config, DONE, Done, Tuning};
use godwit_memory::store::Store;

const PAGE: u64 = 4096;
const BASE: u64 = 0x10_0000_0000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |i: usize, otherwise| arguments.get(i).map_or(otherwise, |text| text.parse().unwrap());
    if arguments.get(1).is_some_and(|word| word == "app") {
        return app(number(2, 0));
    }
    let (mib, rounds) = (number(1, 1024), number(2, 3));
    let kib = |chunk: u64, ahead: u64, zero: u64| Tuning {
        chunk: chunk * 1024,
        chunk_busy: chunk.min(64) * 1024,
        ahead: ahead * 1024,
        zero_ahead: zero * 1024,
        ..Tuning::default()
    };
    let variants = [
        ("chunk 64 KiB", kib(64, 64, 2048)),
        ("chunk 256 KiB", kib(256, 64, 2048)),
        ("chunk 1 MiB", kib(1024, 64, 2048)),
        ("256 KiB, ahead 4 KiB", kib(256, 4, 2048)),
        (
            "256 KiB, fill nice 10",
            Tuning {
                fill_nice: 10,
                ..kib(256, 64, 2048)
            },
        ),
        (
            "256 KiB, fill nice -10",
            Tuning {
                fill_nice: -10,
                ..kib(256, 64, 2048)
            },
        ),
        (
            "256 KiB, 2 fill threads",
            Tuning {
                fill_threads: 2,
                ..kib(256, 64, 2048)
            },
        ),
        (
            "256 KiB, 1 fault thread",
            Tuning {
                fault_threads: 1,
                ..kib(256, 64, 2048)
            },
        ),
    ];
    let touches = [0, 200];
    let mut figures = vec![Vec::new(); variants.len() * touches.len()];
    for _ in 0..rounds {
        for (i, (_, tuning)) in variants.iter().enumerate() {
            for (j, pause) in touches.iter().enumerate() {
                figures[i * touches.len() + j].push(measure(mib, *tuning, *pause));
            }
        }
    }
    println!(
        "{:<26}{:>12}{:>10}{:>12}{:>12}{:>10}",
        "median of rounds", "touches", "GiB/s", "median us", "p99 us", "max us"
    );
    for (i, (name, _)) in variants.iter().enumerate() {
        for (j, pause) in touches.iter().enumerate() {
            let runs = &mut figures[i * touches.len() + j];
            let mut column = |of: fn(&Figures) -> f64| {
                runs.sort_by(|a, b| of(a).total_cmp(&of(b)));
                of(&runs[runs.len() / 2])
            };
            println!(
                "{name:<26}{:>12}{:>10.2}{:>12.1}{:>12.1}{:>10.0}",
                if *pause == 0 {
                    "none".to_owned()
                } else {
                    format!("each {pause} us")
                },
                column(|f| f.speed),
                column(|f| f.median),
                column(|f| f.p99),
                column(|f| f.max),
            );
        }
    }
}

#[derive(Debug, Clone)]
struct Figures {
    speed: f64,
    median: f64,
    p99: f64,
    max: f64,
}

fn measure(mib: u64, tuning: Tuning, pause: u64) -> Figures {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let bytes = mib << 20;
    write(dir.path(), bytes);
    let socket = dir.path().join("lazy-pages.socket");
    let config = Config {
        images: dir.path().into(),
        store: dir.path().join("store"),
        socket: socket.clone(),
        deadline_ms: u64::MAX / 2,
        tuning,
    };
    serve::write(dir.path(), serve::CONFIG, &config).unwrap();
    let server = std::env::current_exe().unwrap().with_file_name("../godwit-pages");
    let mut server = Command::new(server).arg("serve").arg(dir.path()).spawn().unwrap();
    let mut app = Command::new("/proc/self/exe")
        .args(["app", &bytes.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(app.stdout.take().unwrap());
    let mut input = app.stdin.take().unwrap();
    let mut hear = || {
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        line.trim().to_owned()
    };
    let number: i32 = hear().parse().unwrap();
    while !socket.exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut connection = UnixStream::connect(&socket).unwrap();
    connection.write_all(&1_i32.to_ne_bytes()).unwrap();
    {
        use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
        let uffd = descriptor_of(app.id(), number);
        let fds = [uffd.as_raw_fd()];
        sendmsg::<()>(
            connection.as_raw_fd(),
            &[std::io::IoSlice::new(b"x")],
            &[ControlMessage::ScmRights(&fds)],
            MsgFlags::empty(),
            None,
        )
        .unwrap();
    }
    writeln!(input, "register").unwrap();
    hear();
    let begun = Instant::now();
    connection.write_all(&0x5253_5446_i32.to_ne_bytes()).unwrap();
    if pause != 0 {
        writeln!(input, "{pause}").unwrap();
    }
    while !dir.path().join(DONE).exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let elapsed = begun.elapsed();
    server.wait().unwrap();
    let done: Done = serve::read(dir.path(), DONE).unwrap().unwrap();
    assert_eq!(done.progress.bytes_left, 0);
    let mut latencies: Vec<f64> = Vec::new();
    if pause != 0 {
        writeln!(input, "stop").unwrap();
        latencies = hear().split(' ').filter_map(|text| text.parse().ok()).collect();
    }
    latencies.sort_by(f64::total_cmp);
    app.kill().unwrap();
    app.wait().unwrap();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies
            .get(index.min(latencies.len().saturating_sub(1)))
            .map_or(f64::NAN, |ns| ns / 1e3)
    };
    Figures {
        speed: mib as f64 / 1024.0 / elapsed.as_secs_f64(),
        median: at(0.5),
        p99: at(0.99),
        max: at(1.0),
    }
}

fn write(dir: &Path, bytes: u64) {
    let store = Store::create(&dir.join("store")).unwrap();
    let mut piece = vec![7_u8; 1 << 20];
    for at in (0..bytes).step_by(1 << 20) {
        piece[..8].copy_from_slice(&at.to_ne_bytes());
        store.write(1, BASE + at, &piece).unwrap();
    }
    let vma = [field(1, BASE), field(2, BASE + bytes)].concat();
    let mm = [vec![14 << 3 | 2, vma.len() as u8], vma].concat();
    std::fs::write(dir.join("mm-1.img"), image(0x5749_2820, &[mm])).unwrap();
    let entry = [field(1, BASE), field(4, 2), field(5, bytes / PAGE)].concat();
    std::fs::write(
        dir.join("pagemap-1.img"),
        image(0x5608_4025, &[field(1, 1), entry]),
    )
    .unwrap();
}

fn image(magic: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = [0x5456_4319_u32.to_ne_bytes(), magic.to_ne_bytes()].concat();
    for frame in frames {
        bytes.extend((frame.len() as u32).to_ne_bytes());
        bytes.extend(frame);
    }
    bytes
}

fn field(number: u8, mut value: u64) -> Vec<u8> {
    let mut bytes = vec![number << 3];
    while value > 127 {
        bytes.push((value & 127) as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn descriptor_of(pid: u32, number: i32) -> OwnedFd {
    // SAFETY: plain system calls that make new descriptors.
    unsafe {
        let process = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        let process = OwnedFd::from_raw_fd(process as i32);
        let fd = libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0);
        OwnedFd::from_raw_fd(fd as i32)
    }
}

/// The process that is served. Touches until it hears anything else.
fn app(bytes: u64) {
    let mut lines = BufReader::new(std::io::stdin()).lines();
    // SAFETY: a new process that has nothing at these addresses.
    let uffd = unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        libc::mmap(
            BASE as *mut _,
            bytes as usize,
            libc::PROT_READ | libc::PROT_WRITE,
            flags,
            -1,
            0,
        );
        let uffd = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC | libc::O_NONBLOCK) as i32;
        let mut api = [0xAA_u64, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 6, 0];
        libc::ioctl(uffd, 0xc018_aa3f, &raw mut api);
        uffd
    };
    println!("{uffd}");
    lines.next().unwrap().unwrap();
    let mut call = [BASE, bytes, 1, 0];
    // SAFETY: memory of this process.
    unsafe {
        libc::ioctl(uffd, 0xc020_aa00, &raw mut call);
        libc::close(uffd);
    }
    println!("registered");
    let pause = Duration::from_micros(lines.next().unwrap().unwrap().parse().unwrap());
    let stop = std::thread::spawn(move || drop(lines.next()));
    let mut seed = 1_u64;
    let mut found = String::new();
    while !stop.is_finished() {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let address = BASE + seed % (bytes / PAGE) * PAGE;
        let begun = Instant::now();
        // SAFETY: inside the mapping.
        unsafe { std::ptr::read_volatile(address as *const u8) };
        let elapsed = begun.elapsed();
        // Memory that is there answers in less.
        if elapsed > Duration::from_nanos(1500) {
            let _ = write!(found, "{} ", elapsed.as_nanos());
        }
        std::thread::sleep(pause);
    }
    println!("{found}");
}
