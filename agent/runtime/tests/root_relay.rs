//! The relay between a runc played by this test and a CRIU played by this same program (`swrk`): the gate, the hold in a real freezer
//! cgroup, and that whatever fails, the restored task never runs.
//!
//! Needs root and a cgroup that can be frozen. Makes one cgroup below the caller's own, `gwt-rt-PID`, and removes it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test without the usual harness, because it plays CRIU too"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use godwit_runtime::cgroup::Freezer;
use godwit_runtime::packet::{Packet, receive, send};
use godwit_runtime::process;
use godwit_runtime::record::{
    self, ABORT, Failed, GO, HELD, Held, IMAGES, RELAY_FAILED, RecordDir, STAGES, WAITING, Waiting,
};
use godwit_runtime::rpc::{self, Kind};
use godwit_runtime::veil;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, socketpair, sockopt};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|word| word == "swrk") {
        fake_criu(&std::env::var("FAKE_CRIU").unwrap());
        return;
    }
    for (name, case) in CASES {
        println!("relay: {name}");
        case(&mut Stage::new(name));
    }
    // As the usual harness says it, for whoever counts; a case that fails ends this program before.
    println!("test result: ok. {} passed; 0 failed", CASES.len());
}

type Case = (&'static str, fn(&mut Stage));
const CASES: [Case; 16] = [
    ("other requests pass at once", other_requests_pass),
    ("a restored task is held", a_restored_task_is_held),
    ("an abort at the gate is a refusal", an_abort_is_a_refusal),
    (
        "a gate that stays closed is a refusal",
        a_closed_gate_is_a_refusal,
    ),
    ("without runc the task is ended", without_runc_the_task_is_ended),
    (
        "without the relay the task is ended",
        without_the_relay_the_task_is_ended,
    ),
    ("a task that was not held is ended", a_task_not_held_is_ended),
    ("without CRIU the task is ended", without_criu_the_task_is_ended),
    ("a lazy restore says so to CRIU", a_lazy_restore_says_so_to_criu),
    (
        "hidden memory is not restored in another way",
        hidden_memory_is_restored_lazily_only,
    ),
    ("damaged lists stop a restore", damaged_lists_stop_a_restore),
    (
        "a restore stuck in a page fault is ended",
        a_stuck_restore_is_ended,
    ),
    ("a lazy dump ends frozen", a_lazy_dump_ends_frozen),
    (
        "without runc a lazy dump ends frozen",
        without_runc_a_lazy_dump_ends_frozen,
    ),
    (
        "a killed CRIU leaves a frozen container",
        a_killed_criu_leaves_a_frozen_container,
    ),
    (
        "a killed relay leaves a frozen container",
        a_killed_relay_leaves_a_frozen_container,
    ),
];

fn other_requests_pass(stage: &mut Stage) {
    stage.start("version");
    stage.ask(10);
    assert_eq!(stage.answer().unwrap().kind, Kind::Other(10));
    assert!(!stage.gate().has(WAITING).unwrap());
    stage.relayed_to_the_end(true);
}

fn a_restored_task_is_held(stage: &mut Stage) {
    stage.start("restore");
    stage.ask(2);
    stage.wait_for(WAITING);
    assert!(
        stage.freezer.pids().unwrap().is_empty(),
        "CRIU was left in the container's cgroup"
    );
    stage.gate().mark(GO).unwrap();
    stage.allow("post-restore");
    stage.allow("pre-resume");
    assert_eq!(stage.answer().unwrap().kind, Kind::Restore);
    stage.relayed_to_the_end(true);
    assert!(stage.freezer.is_frozen().unwrap());
    let held: Held = stage.gate().read_json(HELD).unwrap().unwrap();
    assert_eq!(held.freezer, stage.freezer.directory());
    assert_eq!(stage.freezer.pids().unwrap(), [held.init_pid]);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(stage.steps(), 0, "the task ran while it was held");
    stage.freezer.thaw().unwrap();
    stage.until("the thawed task runs", |stage| stage.steps() > 0);
}

fn an_abort_is_a_refusal(stage: &mut Stage) {
    stage.start("restore");
    stage.ask(2);
    stage.wait_for(WAITING);
    stage.gate().write(ABORT, b"because").unwrap();
    let answer = stage.answer().unwrap();
    assert_eq!((answer.kind, answer.success), (Kind::Restore, false));
    stage.failed_with("Aborted");
}

fn a_closed_gate_is_a_refusal(stage: &mut Stage) {
    stage.deadline_ms = 300;
    stage.start("restore");
    stage.ask(2);
    assert!(!stage.answer().unwrap().success);
    stage.failed_with("GateDeadline");
}

fn without_runc_the_task_is_ended(stage: &mut Stage) {
    stage.restore_until_post_restore();
    stage.runc = None;
    stage.failed_with("RuncGone");
}

fn without_the_relay_the_task_is_ended(stage: &mut Stage) {
    stage.restore_until_post_restore();
    process::Process::open(stage.relay()).unwrap().kill().unwrap();
    // CRIU gets no answer any more, or the answer to post-restore only: at the latest it stands still at pre-resume.
    let _ = stage.try_allow();
    stage.failed_with("RelayGone");
}

fn a_task_not_held_is_ended(stage: &mut Stage) {
    stage.start("careless");
    stage.ask(2);
    stage.wait_for(WAITING);
    stage.gate().mark(GO).unwrap();
    stage.allow("post-restore");
    stage.failed_with("NotHeld");
}

fn without_criu_the_task_is_ended(stage: &mut Stage) {
    stage.start("dying");
    stage.ask(2);
    stage.wait_for(WAITING);
    stage.gate().mark(GO).unwrap();
    stage.allow("post-restore");
    stage.failed_with("CriuGone");
}

fn a_lazy_restore_says_so_to_criu(stage: &mut Stage) {
    stage.lazy = true;
    a_restored_task_is_held(stage);
}

fn hidden_memory_is_restored_lazily_only(stage: &mut Stage) {
    fs::write(stage.path("images/hidden-1.img"), b"GWTHIDE1").unwrap();
    stage.start("restore");
    stage.ask(2);
    stage.wait_for(WAITING);
    stage.gate().mark(GO).unwrap();
    stage.failed_with("OnlyLazily");
}

fn damaged_lists_stop_a_restore(stage: &mut Stage) {
    fs::write(stage.path("images/hidden-1.img"), b"GWTHIDE1 and more").unwrap();
    stage.lazy = true;
    stage.start("restore");
    stage.ask(2);
    stage.wait_for(WAITING);
    stage.gate().mark(GO).unwrap();
    stage.failed_with("ImagesMalformed");
}

/// Its page server never answers, so that neither the freezer nor CRIU gets at it.
fn a_stuck_restore_is_ended(stage: &mut Stage) {
    stage.lazy = true;
    stage.start("stuck");
    stage.ask(2);
    stage.wait_for(WAITING);
    stage.gate().mark(GO).unwrap();
    assert_eq!(stage.answer().unwrap().stage.as_deref(), Some("post-restore"));
    let pid = stage.freezer.pids().unwrap()[0];
    stage.until("the task waits for its page", |_| {
        let stack = fs::read_to_string(format!("/proc/{pid}/stack"));
        stack.is_ok_and(|stack| stack.contains("handle_userfault"))
    });
    stage.runc = None;
    stage.failed_with("RuncGone");
}

fn a_lazy_dump_ends_frozen(stage: &mut Stage) {
    let task = stage.frozen_task();
    stage.dump_until_images("lazy-dump", task);
    // What CRIU saw is right: it says so by going on.
    assert_eq!(stage.answer().unwrap().stage.as_deref(), Some("status-ready"));
    stage.try_allow().unwrap();
    let answer = stage.answer().unwrap();
    assert_eq!((answer.kind, answer.success), (Kind::Dump, true));
    stage.relayed_to_the_end(true);
    assert!(!stage.gate().has(RELAY_FAILED).unwrap());
    let stages: Vec<record::Stage> = stage.gate().read_json(STAGES).unwrap().unwrap();
    assert_eq!(stages.last().unwrap().name, "done");
    assert!(stage.freezer.is_frozen().unwrap());
    // All pages that were hidden from CRIU are listed.
    let lists = veil::hidden(&stage.path("images")).unwrap();
    let (start, end) = memory(stage.memory);
    assert!(
        lists[0]
            .1
            .iter()
            .any(|span| span.start <= start && end <= span.end)
    );
    stage.until("the cover is removed", |stage| {
        !stage.path(&format!("veil-{task}")).exists()
    });
}

fn without_runc_a_lazy_dump_ends_frozen(stage: &mut Stage) {
    let task = stage.frozen_task();
    stage.dump_until_images("lazy-dump", task);
    stage.runc = None;
    stage.left_frozen("RuncGone");
    assert_eq!(stage.steps(), 0, "the task ran");
}

/// Nothing can keep the task from running between CRIU's end and the relay's answer; but it must not run on.
fn a_killed_criu_leaves_a_frozen_container(stage: &mut Stage) {
    let task = stage.frozen_task();
    stage.dump_until_images("page-server", task);
    stage.launcher.as_mut().unwrap().kill().unwrap();
    stage.left_frozen("CriuGone");
    let steps = stage.steps();
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(stage.steps(), steps, "the task runs");
}

fn a_killed_relay_leaves_a_frozen_container(stage: &mut Stage) {
    let task = stage.frozen_task();
    stage.dump_until_images("page-server", task);
    process::Process::open(stage.relay()).unwrap().kill().unwrap();
    stage.left_frozen("RelayGone");
    assert_eq!(stage.steps(), 0, "the task ran");
}

/// The whole pages of a task's own 64 KiB at that address.
fn memory(address: u64) -> (u64, u64) {
    (
        address.next_multiple_of(4096),
        (address + (64 << 10)) / 4096 * 4096,
    )
}

/// One conversation: this test as runc, the relay, and CRIU as played by [`fake_criu`].
struct Stage {
    root: tempfile::TempDir,
    freezer: Freezer,
    runc: Option<OwnedFd>,
    launcher: Option<Child>,
    deadline_ms: u64,
    lazy: bool,
    /// Where the task to dump has memory of its own.
    memory: u64,
}

impl Stage {
    fn new(name: &str) -> Self {
        let root = tempfile::Builder::new().prefix("gwt-rt-").tempdir().unwrap();
        let own = Freezer::of(i32::try_from(std::process::id()).unwrap()).expect(name);
        let directory = own.directory().join(format!("gwt-rt-{}", std::process::id()));
        fs::create_dir(&directory).unwrap();
        fs::create_dir(root.path().join("real")).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_criu"), root.path().join("criu")).unwrap();
        fs::copy(std::env::current_exe().unwrap(), root.path().join("real/criu")).unwrap();
        fs::create_dir(root.path().join("images")).unwrap();
        RecordDir::open_handed(root.path()).unwrap();
        Self {
            freezer: Freezer::at(&directory),
            root,
            runc: None,
            launcher: None,
            deadline_ms: 60_000,
            lazy: false,
            memory: 0,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn gate(&self) -> RecordDir {
        RecordDir::open_handed(self.root.path()).unwrap()
    }

    /// What runc does at a restore: starts `criu swrk 3` and puts it into the container's cgroup.
    fn start(&mut self, role: &str) {
        self.start_as(role, true);
    }

    fn start_as(&mut self, role: &str, restore: bool) {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .unwrap();
        let deadline = record::unix_ms() + self.deadline_ms;
        let mut command = Command::new(self.path("criu"));
        command
            .args(["swrk", "3"])
            .env("FAKE_CRIU", role)
            .env("FAKE_STEPS", self.path("steps"));
        command
            .env("FAKE_CGROUP", self.freezer.directory())
            .env("FAKE_IMAGES", self.path("images"));
        command.env("GODWIT_GATE_DIR", self.root.path());
        if restore {
            command.env("GODWIT_HOLD", "1");
        }
        if self.lazy {
            command.env("GODWIT_LAZY", "1");
        }
        command.env("FAKE_MEMORY", self.memory.to_string());
        command.env("GODWIT_GATE_DEADLINE_MS", deadline.to_string());
        let number = theirs.as_raw_fd();
        // SAFETY: dup2 is async-signal-safe; the descriptor is open until the command has started.
        unsafe {
            command.pre_exec(move || match libc::dup2(number, 3) {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            });
        }
        let child = command.spawn().unwrap();
        drop(theirs);
        if restore {
            let group = self.freezer.directory().join("cgroup.procs");
            fs::write(group, child.id().to_string()).unwrap();
        }
        self.launcher = Some(child);
        self.runc = Some(ours);
    }

    /// A frozen task with memory of its own, which counts as soon as it runs.
    fn frozen_task(&mut self) -> i32 {
        let memory = vec![7_u8; 64 << 10];
        self.memory = memory.as_ptr() as u64;
        self.lazy = true;
        let (read, write) = nix::unistd::pipe().unwrap();
        let path = self.path("steps");
        let Some(task) = process::fork().unwrap() else {
            let mut byte = [0];
            let _ = nix::unistd::read(&read, &mut byte);
            count(&path);
        };
        fs::write(self.freezer.directory().join("cgroup.procs"), task.to_string()).unwrap();
        self.freezer.freeze(Duration::from_secs(1)).unwrap();
        nix::unistd::write(&write, b"x").unwrap();
        // In the task it lives on.
        drop(memory);
        task
    }

    /// A lazy dump of a frozen task, until CRIU has written all images.
    fn dump_until_images(&mut self, role: &str, task: i32) {
        self.start_as(role, false);
        self.ask_of(1, Some(task));
        self.wait_for(WAITING);
        self.gate().mark(GO).unwrap();
        self.allow("post-dump");
        self.wait_for(IMAGES);
    }

    /// The relay itself: the child of its guard.
    fn relay(&self) -> i32 {
        let waiting: Waiting = self.gate().read_json(WAITING).unwrap().unwrap();
        let guard = waiting.relay_pid;
        let children = fs::read_to_string(format!("/proc/{guard}/task/{guard}/children")).unwrap();
        children.trim().parse().unwrap()
    }

    /// The relay says why, CRIU is gone, and the container is frozen.
    fn left_frozen(&mut self, reason: &str) {
        self.wait_for(RELAY_FAILED);
        let failed: Failed = self.gate().read_json(RELAY_FAILED).unwrap().unwrap();
        assert_eq!(failed.reason, reason, "{}", failed.message);
        let _ = self.launcher.take().unwrap().wait().unwrap();
        assert!(self.freezer.is_frozen().unwrap());
        assert_eq!(self.freezer.pids().unwrap().len(), 1);
    }

    /// Sends a request with a directory of ours, by number, as runc does.
    fn ask(&self, kind: u8) {
        self.ask_of(kind, None);
    }

    fn ask_of(&self, kind: u8, task: Option<i32>) {
        let images = fs::File::open(self.path("images")).unwrap();
        let number = u8::try_from(images.as_raw_fd()).unwrap();
        assert!(number < 128);
        let mut opts = vec![0x08, number];
        if let Some(task) = task {
            opts.push(0x10);
            varint(task, &mut opts);
        }
        let mut bytes = vec![0x08, kind, 0x12, u8::try_from(opts.len()).unwrap()];
        bytes.extend_from_slice(&opts);
        send(
            self.runc.as_ref().unwrap(),
            &Packet {
                bytes,
                descriptors: Vec::new(),
            },
        )
        .unwrap();
        // The relay must copy it while it is open here: it stays open as long as this process.
        std::mem::forget(images);
    }

    fn answer(&self) -> Option<rpc::Response> {
        let Some(packet) = receive(self.runc.as_ref().unwrap()).unwrap() else {
            let failed: Option<Failed> = self.gate().read_json(RELAY_FAILED).unwrap();
            println!("relay: no answer: {failed:?}");
            return None;
        };
        Some(rpc::response(&packet.bytes).unwrap())
    }

    fn try_allow(&self) -> Result<(), nix::errno::Errno> {
        let bytes = vec![0x08, 6, 0x18, 1];
        send(
            self.runc.as_ref().unwrap(),
            &Packet {
                bytes,
                descriptors: Vec::new(),
            },
        )
    }

    fn allow(&self, name: &str) {
        assert_eq!(self.answer().unwrap().stage.as_deref(), Some(name));
        self.try_allow().unwrap();
    }

    fn restore_until_post_restore(&mut self) {
        self.start("restore");
        self.ask(2);
        self.wait_for(WAITING);
        self.gate().mark(GO).unwrap();
        assert_eq!(self.answer().unwrap().stage.as_deref(), Some("post-restore"));
        assert_eq!(self.freezer.pids().unwrap().len(), 1);
    }

    fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !done(self) {
            assert!(Instant::now() < end, "never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn wait_for(&self, name: &str) {
        self.until(name, |stage| stage.gate().has(name).unwrap());
    }

    /// How far the restored task has come.
    fn steps(&self) -> u64 {
        fs::metadata(self.path("steps")).map_or(0, |metadata| metadata.len())
    }

    /// The launcher, now CRIU, ends by itself.
    fn relayed_to_the_end(&mut self, success: bool) {
        let status = self.launcher.take().unwrap().wait().unwrap();
        assert_eq!(status.success(), success, "{status}");
    }

    /// The relay says why, CRIU is gone, and so is the task, which has not run.
    fn failed_with(&mut self, reason: &str) {
        self.wait_for(RELAY_FAILED);
        let failed: Failed = self.gate().read_json(RELAY_FAILED).unwrap().unwrap();
        assert_eq!(failed.reason, reason, "{}", failed.message);
        self.relayed_to_the_end(false);
        let directory = self.freezer.directory().to_path_buf();
        self.until("the container's cgroup is removed", |_| !directory.exists());
        assert_eq!(self.steps(), 0, "the task ran");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(mut launcher) = self.launcher.take() {
            let _ = launcher.kill();
            let _ = launcher.wait();
        }
        self.runc = None;
        let _ = self.freezer.end_all(Duration::from_secs(10));
        let _ = fs::remove_dir(self.freezer.directory());
    }
}

/// CRIU as runc sees it: reads one request, "restores" a task that counts as soon as it is let go, notifies, answers.
fn fake_criu(role: &str) {
    let socket = process::adopt(3).unwrap();
    let Some(packet) = receive(&socket).unwrap() else {
        std::process::exit(1)
    };
    let request = rpc::request(&packet.bytes).unwrap();
    if role == "version" {
        send(
            &socket,
            &Packet {
                bytes: vec![0x08, 10, 0x10, 1],
                descriptors: Vec::new(),
            },
        )
        .unwrap();
        return;
    }
    // CRIU opens the directories through the process that made its socket.
    let peer = getsockopt(&socket, sockopt::PeerCredentials).unwrap().pid();
    let images = fs::read_link(format!("/proc/{peer}/fd/{}", request.descriptors[0])).unwrap();
    assert_eq!(images, Path::new(&std::env::var("FAKE_IMAGES").unwrap()));
    let lazy = std::env::var("GODWIT_LAZY").is_ok_and(|value| value == "1");
    assert_eq!(request.lazy_pages, lazy);
    if let Some(task) = request.pid {
        return fake_dump(&socket, role, task);
    }
    let (read, write) = nix::unistd::pipe().unwrap();
    let Some(task) = process::fork().unwrap() else {
        drop(socket);
        let _kept_open = write;
        let mut byte = [0];
        if role == "stuck" {
            wait_for_a_page();
        }
        // Only a word lets it go; CRIU's end does not, because the task holds both ends of the pipe.
        let _ = nix::unistd::read(&read, &mut byte);
        count(Path::new(&std::env::var("FAKE_STEPS").unwrap()));
    };
    let cgroup = PathBuf::from(std::env::var("FAKE_CGROUP").unwrap());
    fs::write(cgroup.join("cgroup.procs"), task.to_string()).unwrap();
    notify(&socket, "post-restore", Some(task));
    match role {
        "stuck" => std::thread::sleep(Duration::from_mins(1)),
        "dying" => {
            // It leaves its task behind.
            std::process::exit(3);
        }
        "careless" => {}
        _ => notify(&socket, "pre-resume", None),
    }
    if role != "careless" {
        nix::unistd::write(&write, b"x").unwrap();
    }
    send(
        &socket,
        &Packet {
            bytes: vec![0x08, 2, 0x10, 1],
            descriptors: Vec::new(),
        },
    )
    .unwrap();
    if role == "careless" {
        std::thread::sleep(Duration::from_mins(1));
    }
}

fn notify(socket: &OwnedFd, stage: &str, pid: Option<i32>) {
    let mut inner = vec![0x0a, u8::try_from(stage.len()).unwrap()];
    inner.extend_from_slice(stage.as_bytes());
    if let Some(pid) = pid {
        inner.push(0x10);
        varint(pid, &mut inner);
    }
    let mut bytes = vec![0x08, 6, 0x10, 1, 0x2a, u8::try_from(inner.len()).unwrap()];
    bytes.extend_from_slice(&inner);
    send(
        socket,
        &Packet {
            bytes,
            descriptors: Vec::new(),
        },
    )
    .unwrap();
    // Without an answer CRIU would give up and kill its tasks.
    if receive(socket).unwrap().is_none() {
        std::process::exit(4);
    }
}

fn varint(number: i32, bytes: &mut Vec<u8>) {
    let mut rest = u32::try_from(number).unwrap();
    while rest >= 0x80 {
        bytes.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).unwrap());
}

/// Makes a step each millisecond, for ever.
fn count(path: &Path) -> ! {
    let mut steps = fs::File::options().append(true).create(true).open(path).unwrap();
    loop {
        steps.write_all(b".").unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// CRIU at a lazy dump: it looks at the task's pagemap twice, thaws the task and holds it by ptrace, and ends as a page server.
fn fake_dump(socket: &OwnedFd, role: &str, task: i32) {
    let pagemap = format!("/proc/{task}/pagemap");
    let (start, end) = memory(std::env::var("FAKE_MEMORY").unwrap().parse().unwrap());
    let entries = || {
        let file = fs::File::open(&pagemap).unwrap();
        let mut entries = vec![0; usize::try_from((end - start) / 512).unwrap()];
        file.read_exact_at(&mut entries, start / 512).unwrap();
        entries
    };
    let freezer = Freezer::of(task).unwrap();
    // SAFETY: ptrace with requests that take numbers only, of another process; waitpid with no status wanted.
    unsafe {
        assert_eq!(libc::ptrace(libc::PTRACE_SEIZE, task, 0, 0), 0);
        libc::ptrace(libc::PTRACE_INTERRUPT, task, 0, 0);
        freezer.thaw().unwrap();
        libc::waitpid(task, std::ptr::null_mut(), libc::__WALL);
    }
    // CRIU's first look is for guard pages only.
    drop(entries());
    let limit = Instant::now() + Duration::from_secs(10);
    while entries().iter().any(|byte| *byte != 0) {
        assert!(Instant::now() < limit, "lazy memory is not hidden");
        std::thread::sleep(Duration::from_millis(1));
    }
    notify(socket, "post-dump", None);
    if role == "page-server" {
        std::thread::sleep(Duration::from_mins(1));
    }
    notify(socket, "status-ready", None);
    let config = fs::read_to_string(std::env::var("CRIU_CONFIG_FILE").unwrap()).unwrap();
    let number = config
        .lines()
        .find_map(|line| line.strip_prefix("ps-socket "))
        .unwrap();
    let server = process::adopt(number.parse().unwrap()).unwrap();
    let mut server = std::os::unix::net::UnixStream::from(server);
    let mut command = [0; 32];
    server.read_exact(&mut command).unwrap();
    assert_eq!(command[..4], 0x1023_u32.to_ne_bytes());
    server.write_all(&[0; 4]).unwrap();
    freezer.freeze(Duration::from_secs(1)).unwrap();
    // SAFETY: as above.
    unsafe { libc::ptrace(libc::PTRACE_DETACH, task, 0, 0) };
    let bytes = vec![0x08, 1, 0x10, 1];
    let descriptors = Vec::new();
    // runc may be gone.
    let _ = send(socket, &Packet { bytes, descriptors });
}

/// Touches a page that nobody will ever provide.
fn wait_for_a_page() -> ! {
    const MISSING: u64 = 1;
    let length = 4096;
    // SAFETY: a new mapping, wherever the kernel wants it; the ioctls get arrays of the sizes that they are for (`linux/userfaultfd.h`); the
    // page is read where it was mapped.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let address = libc::mmap(std::ptr::null_mut(), length, protection, flags, -1, 0);
        let faults = libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC);
        assert!(faults >= 0, "{}", std::io::Error::last_os_error());
        let faults = i32::try_from(faults).unwrap();
        let mut api = [0xaa_u64, 0, 0];
        assert_eq!(libc::ioctl(faults, 0xc018_aa3f, api.as_mut_ptr()), 0);
        let mut register = [address as u64, length as u64, MISSING, 0];
        assert_eq!(libc::ioctl(faults, 0xc020_aa00, register.as_mut_ptr()), 0);
        std::ptr::read_volatile(address.cast::<u8>());
    }
    std::process::exit(9);
}
