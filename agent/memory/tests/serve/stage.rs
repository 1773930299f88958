//! CRIU as the page server sees it: images, a store, a connection with descriptors.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use godwit_memory::range::PageRange;
use godwit_memory::serve::{self, Config, DONE, Done, FAILED, Failed, PROGRESS, Progress, Tuning};
use godwit_memory::store::Store;

use super::layout::{BASE, Kind, PAGE, kind, page, second};

const MARK: i32 = 0x5253_5446;
/// For everything that must happen.
const PATIENCE: Duration = Duration::from_mins(1);

pub struct Stage {
    pub dir: tempfile::TempDir,
    pub tuning: Tuning,
    pub deadline: Duration,
    processes: Vec<(i32, u64)>,
}

pub struct Server {
    pub dir: PathBuf,
    child: Child,
    pub connection: Option<UnixStream>,
}

pub struct App {
    pub ns_pid: i32,
    pub child: Child,
    uffd: OwnedFd,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Stage {
    /// In a tmpfs, as always.
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir_in("/dev/shm").unwrap(),
            tuning: Tuning {
                chunk: 16 * 1024,
                chunk_busy: 4096,
                ..Tuning::default()
            },
            deadline: PATIENCE,
            processes: Vec::new(),
        }
    }

    /// A process with so many pages, in images and store, and running.
    pub fn app(&mut self, ns_pid: i32, pages: u64) -> App {
        self.processes.push((ns_pid, pages));
        App::start(ns_pid, pages)
    }

    fn images(&self) -> PathBuf {
        self.dir.path().join("images")
    }

    pub fn store(&self) -> PathBuf {
        self.dir.path().join("store")
    }

    fn write(&self) {
        std::fs::create_dir_all(self.images()).unwrap();
        let store = Store::create(&self.store()).unwrap();
        let mut tree = image(0x5027_3030);
        for &(ns_pid, pages) in &self.processes {
            push(&mut tree, &field(1, u64::from(ns_pid.unsigned_abs())));
            let end = BASE + pages * PAGE;
            // Two mappings that the kernel has as one, as after a dump of mappings that could not be merged.
            let middle = second(pages);
            let mut mm = Vec::new();
            for (start, end) in [(BASE, middle), (middle, end)] {
                let vma = [field(1, start), field(2, end)].concat();
                mm.extend([14 << 3 | 2]);
                mm.extend(varint(vma.len() as u64));
                mm.extend(vma);
            }
            let mut file = image(0x5749_2820);
            push(&mut file, &mm);
            std::fs::write(self.images().join(format!("mm-{ns_pid}.img")), file).unwrap();

            let mut pagemap = image(0x5608_4025);
            push(&mut pagemap, &field(1, 1));
            let mut at = BASE;
            while at < end {
                let same = |page: u64| page < end && kind(page) == kind(at);
                let run = (0..16).take_while(|i| same(at + i * PAGE)).count() as u64;
                if kind(at) != Kind::Absent {
                    let entry = [field(1, at), field(2, run), field(4, 2), field(5, run)].concat();
                    push(&mut pagemap, &entry);
                }
                for page_at in (0..run).map(|i| at + i * PAGE) {
                    match kind(page_at) {
                        Kind::Data => store.write(ns_pid, page_at, &page(ns_pid, page_at)).unwrap(),
                        Kind::Zeros => store
                            .zero(
                                ns_pid,
                                PageRange {
                                    start: page_at,
                                    pages: 1,
                                },
                            )
                            .unwrap(),
                        Kind::Absent => {}
                    }
                }
                at += run * PAGE;
            }
            std::fs::write(self.images().join(format!("pagemap-{ns_pid}.img")), pagemap).unwrap();
        }
        std::fs::write(self.images().join("pstree.img"), tree).unwrap();
        for process in godwit_memory::images::lazy_pages(&self.images()).unwrap() {
            assert!(store.missing(process.ns_pid, &process.ranges).is_empty());
        }
    }

    /// The server, not yet connected to.
    pub fn serve(&self) -> Server {
        self.write();
        let deadline = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + self.deadline;
        let config = Config {
            images: self.images(),
            store: self.store(),
            socket: self.dir.path().join("lazy-pages.socket"),
            deadline_ms: u64::try_from(deadline.as_millis()).unwrap(),
            tuning: self.tuning,
        };
        serve::write(self.dir.path(), serve::CONFIG, &config).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_godwit-pages"))
            .arg("serve")
            .arg(self.dir.path())
            .spawn()
            .unwrap();
        Server {
            dir: self.dir.path().to_path_buf(),
            child,
            connection: None,
        }
    }

    /// The server with a restore connected.
    pub fn connect(&self) -> Server {
        let mut server = self.serve();
        let socket = self.dir.path().join("lazy-pages.socket");
        wait("the socket", || socket.exists().then_some(()));
        server.connection = Some(UnixStream::connect(socket).unwrap());
        server
    }

    /// A complete restore of the processes.
    pub fn restore(&self, apps: &mut [&mut App]) -> Server {
        let mut server = self.connect();
        for app in apps {
            server.hand_over(app);
            app.ask("register");
        }
        server.finish();
        server
    }

    /// Bytes of memory that the store holds.
    pub fn stored(&self) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::read_dir(self.store())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().blocks() * 512)
            .sum()
    }
}

impl Server {
    pub fn send(&mut self, word: i32) {
        let connection = self.connection.as_mut().unwrap();
        connection.write_all(&word.to_ne_bytes()).unwrap();
    }

    /// This side keeps no duplicate of the descriptor: as with CRIU, only the server has it in the end.
    pub fn hand_over(&mut self, app: &mut App) {
        self.send(app.ns_pid);
        let uffd = std::mem::replace(&mut app.uffd, std::fs::File::open("/dev/null").unwrap().into());
        self.send_descriptor(&uffd);
    }

    pub fn send_descriptor(&mut self, fd: &OwnedFd) {
        use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
        let fds = [fd.as_raw_fd()];
        let control = [ControlMessage::ScmRights(&fds)];
        let part = [std::io::IoSlice::new(b"x")];
        let connection = self.connection.as_ref().unwrap().as_raw_fd();
        sendmsg::<()>(connection, &part, &control, MsgFlags::empty(), None).unwrap();
    }

    pub fn finish(&mut self) {
        self.send(MARK);
        self.connection = None;
    }

    pub fn progress(&self) -> Option<Progress> {
        serve::read(&self.dir, PROGRESS).unwrap()
    }

    pub fn failed(&self) -> Failed {
        wait("the failure", || serve::read(&self.dir, FAILED).unwrap())
    }

    pub fn holder(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    /// The worker of the latest progress.
    pub fn worker(&self) -> i32 {
        wait("a worker", || self.progress()).worker
    }

    /// The end with its exit status.
    pub fn end(mut self) -> ExitStatus {
        wait("the end of the server", || self.child.try_wait().unwrap())
    }

    /// The end after a restore that went well.
    pub fn done(self) -> Done {
        let dir = self.dir.clone();
        assert_eq!(self.end().code(), Some(0));
        assert!(!dir.join(FAILED).exists());
        let done: Done = serve::read(&dir, DONE).unwrap().unwrap();
        assert_eq!((done.progress.bytes_left, done.progress.unplaced), (0, 0));
        done
    }
}

impl App {
    fn start(ns_pid: i32, pages: u64) -> Self {
        let mut child = Command::new("/proc/self/exe")
            .args(["app", &ns_pid.to_string(), &pages.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let number: i32 = line.trim().strip_prefix("uffd ").unwrap().parse().unwrap();
        Self {
            ns_pid,
            uffd: descriptor_of(child.id(), number),
            stdin: child.stdin.take().unwrap(),
            stdout,
            child,
        }
    }

    pub fn say(&mut self, command: &str) {
        writeln!(self.stdin, "{command}").unwrap();
    }

    pub fn hear(&mut self) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ok", "process {} says", self.ns_pid);
    }

    pub fn ask(&mut self, command: &str) {
        self.say(command);
        self.hear();
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn descriptor_of(pid: u32, number: i32) -> OwnedFd {
    // SAFETY: plain system calls that make new descriptors.
    unsafe {
        let process = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        let process = OwnedFd::from_raw_fd(i32::try_from(process).unwrap());
        let fd = libc::syscall(libc::SYS_pidfd_getfd, process.as_raw_fd(), number, 0);
        OwnedFd::from_raw_fd(i32::try_from(fd).unwrap())
    }
}

/// Waits for something that must come.
pub fn wait<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "no sign of {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn kill(pid: i32, signal: i32) {
    // SAFETY: a process that this test has started.
    unsafe { libc::kill(pid, signal) };
}

pub fn lives(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn image(magic: u32) -> Vec<u8> {
    [0x5456_4319_u32.to_ne_bytes(), magic.to_ne_bytes()].concat()
}

fn push(file: &mut Vec<u8>, frame: &[u8]) {
    file.extend(u32::try_from(frame.len()).unwrap().to_ne_bytes());
    file.extend(frame);
}

fn field(number: u8, value: u64) -> Vec<u8> {
    [vec![number << 3], varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 127) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 128);
    }
}
