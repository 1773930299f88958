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
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use godwit_runtime::cgroup::Freezer;
use godwit_runtime::packet::{Packet, receive, send};
use godwit_runtime::process;
use godwit_runtime::record::{ABORT, Failed, GO, HELD, Held, RELAY_FAILED, RecordDir, WAITING, Waiting};
use godwit_runtime::rpc::{self, Kind};
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
const CASES: [Case; 8] = [
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
    let waiting: Waiting = stage.gate().read_json(WAITING).unwrap().unwrap();
    let guard = waiting.relay_pid;
    let children = fs::read_to_string(format!("/proc/{guard}/task/{guard}/children")).unwrap();
    let relay = children.trim().parse().unwrap();
    process::Process::open(relay).unwrap().kill().unwrap();
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

/// One conversation: this test as runc, the relay, and CRIU as played by [`fake_criu`].
struct Stage {
    root: tempfile::TempDir,
    freezer: Freezer,
    runc: Option<OwnedFd>,
    launcher: Option<Child>,
    deadline_ms: u64,
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
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn gate(&self) -> RecordDir {
        RecordDir::open_handed(self.root.path()).unwrap()
    }

    /// What runc does: starts `criu swrk 3` and puts it into the container's cgroup.
    fn start(&mut self, role: &str) {
        let (ours, theirs) = socketpair(
            AddressFamily::Unix,
            SockType::SeqPacket,
            None,
            SockFlag::SOCK_CLOEXEC,
        )
        .unwrap();
        let deadline = godwit_runtime::record::unix_ms() + self.deadline_ms;
        let mut command = Command::new(self.path("criu"));
        command
            .args(["swrk", "3"])
            .env("FAKE_CRIU", role)
            .env("FAKE_STEPS", self.path("steps"));
        command
            .env("FAKE_CGROUP", self.freezer.directory())
            .env("FAKE_IMAGES", self.path("images"));
        command
            .env("GODWIT_GATE_DIR", self.root.path())
            .env("GODWIT_HOLD", "1");
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
        fs::write(
            self.freezer.directory().join("cgroup.procs"),
            child.id().to_string(),
        )
        .unwrap();
        self.launcher = Some(child);
        self.runc = Some(ours);
    }

    /// Sends a request with a directory of ours, by number, as runc does.
    fn ask(&self, kind: u8) {
        let images = fs::File::open(self.path("images")).unwrap();
        let number = u8::try_from(images.as_raw_fd()).unwrap();
        assert!(number < 128);
        let bytes = vec![0x08, kind, 0x12, 2, 0x08, number];
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
        let packet = receive(self.runc.as_ref().unwrap()).unwrap()?;
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
    let (read, write) = nix::unistd::pipe().unwrap();
    let Some(task) = process::fork().unwrap() else {
        drop(socket);
        let _kept_open = write;
        let mut byte = [0];
        // Only a word lets it go; CRIU's end does not, because the task holds both ends of the pipe.
        let _ = nix::unistd::read(&read, &mut byte);
        let path = std::env::var("FAKE_STEPS").unwrap();
        let mut steps = fs::File::options().append(true).create(true).open(path).unwrap();
        loop {
            steps.write_all(b".").unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let cgroup = PathBuf::from(std::env::var("FAKE_CGROUP").unwrap());
    fs::write(cgroup.join("cgroup.procs"), task.to_string()).unwrap();
    notify(&socket, "post-restore", Some(task));
    match role {
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
        let mut rest = u32::try_from(pid).unwrap();
        while rest >= 0x80 {
            inner.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        inner.push(u8::try_from(rest).unwrap());
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
