//! A process whose memory comes from `godwit-pages`, which lies beside this program (`cargo build` it with the same profile first).

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use godwit_memory::serve::{self, CHECKED, Config, DONE, Done, Tuning};
use godwit_memory::store::Store;

pub const PAGE: u64 = 4096;
pub const BASE: u64 = 0x10_0000_0000;

/// See the module.
pub struct Served {
    dir: tempfile::TempDir,
    server: Child,
    app: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    begun: Instant,
}

impl Served {
    /// Runs this program with `word` and `mib`, all of whose memory (every page data) is served, until the restore is finished; it waits for its next line.
    pub fn start(word: &str, mib: u64, tuning: Tuning) -> Self {
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
        let program = std::env::current_exe().unwrap().with_file_name("../godwit-pages");
        let pages = Command::new(program)
            .arg("serve")
            .arg(dir.path())
            .spawn()
            .unwrap();
        let mut app = Command::new("/proc/self/exe")
            .args([word, &bytes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut served = Self {
            dir,
            server: pages,
            input: app.stdin.take().unwrap(),
            output: BufReader::new(app.stdout.take().unwrap()),
            app,
            begun: Instant::now(),
        };
        let number: i32 = served.hear().parse().unwrap();
        while !socket.exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut connection = UnixStream::connect(&socket).unwrap();
        connection.write_all(&1_i32.to_ne_bytes()).unwrap();
        hand_over(&connection, served.app.id(), number);
        served.say("register");
        served.hear();
        served.begun = Instant::now();
        connection.write_all(&0x5253_5446_i32.to_ne_bytes()).unwrap();
        served.wait_for(CHECKED);
        served
    }

    pub fn say(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn wait_for(&self, name: &str) {
        while !self.dir.path().join(name).exists() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until all is filled. Gives how long that took from the end of the restore on.
    pub fn filled(&mut self) -> Duration {
        self.wait_for(DONE);
        let elapsed = self.begun.elapsed();
        self.server.wait().unwrap();
        let done: Done = serve::read(self.dir.path(), DONE).unwrap().unwrap();
        assert_eq!(done.progress.bytes_left, 0);
        elapsed
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.app.kill();
        let _ = self.app.wait();
        let _ = self.server.wait();
    }
}

/// In the process that is served: makes the memory, and has it registered. Gives the lines that follow.
pub fn register(bytes: u64) -> std::io::Lines<BufReader<std::io::Stdin>> {
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
    lines
}

/// The address of some page.
pub fn random(seed: &mut u64, bytes: u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    BASE + *seed % (bytes / PAGE) * PAGE
}

fn hand_over(connection: &UnixStream, pid: u32, number: i32) {
    use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
    let uffd = descriptor_of(pid, number);
    let fds = [uffd.as_raw_fd()];
    let part = [std::io::IoSlice::new(b"x")];
    let control = [ControlMessage::ScmRights(&fds)];
    sendmsg::<()>(connection.as_raw_fd(), &part, &control, MsgFlags::empty(), None).unwrap();
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
