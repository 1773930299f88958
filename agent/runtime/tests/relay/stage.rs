//! runc as the relay sees it, a container's cgroup, and a gate.

use std::fs;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use godwit_runtime::cgroup::Freezer;
use godwit_runtime::packet::{Packet, receive, send};
use godwit_runtime::process;
use godwit_runtime::record::{self, Failed, GO, IMAGES, RELAY_FAILED, RecordDir, WAITING, Waiting};
use godwit_runtime::rpc;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};

use super::criu::{count, varint};

/// One conversation: this test as runc, the relay, and CRIU as played by [`fake_criu`].
pub struct Stage {
    root: tempfile::TempDir,
    pub freezer: Freezer,
    pub runc: Option<OwnedFd>,
    pub launcher: Option<Child>,
    pub deadline_ms: u64,
    pub lazy: bool,
    /// Where the task to dump has memory of its own.
    pub memory: u64,
}

impl Stage {
    pub fn new(name: &str) -> Self {
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

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn gate(&self) -> RecordDir {
        RecordDir::open_handed(self.root.path()).unwrap()
    }

    /// What runc does at a restore: starts `criu swrk 3` and puts it into the container's cgroup.
    pub fn start(&mut self, role: &str) {
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
    pub fn frozen_task(&mut self) -> i32 {
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
    pub fn dump_until_images(&mut self, role: &str, task: i32) {
        self.start_as(role, false);
        self.ask_of(1, Some(task));
        self.wait_for(WAITING);
        self.gate().mark(GO).unwrap();
        self.allow("post-dump");
        self.wait_for(IMAGES);
    }

    /// The relay itself: the child of its guard.
    pub fn relay(&self) -> i32 {
        let waiting: Waiting = self.gate().read_json(WAITING).unwrap().unwrap();
        let guard = waiting.relay_pid;
        let children = fs::read_to_string(format!("/proc/{guard}/task/{guard}/children")).unwrap();
        children.trim().parse().unwrap()
    }

    /// The relay says why, CRIU is gone, and the container is frozen.
    pub fn left_frozen(&mut self, reason: &str) {
        self.wait_for(RELAY_FAILED);
        let failed: Failed = self.gate().read_json(RELAY_FAILED).unwrap().unwrap();
        assert_eq!(failed.reason, reason, "{}", failed.message);
        let _ = self.launcher.take().unwrap().wait().unwrap();
        assert!(self.freezer.is_frozen().unwrap());
        assert_eq!(self.freezer.pids().unwrap().len(), 1);
    }

    /// Sends a request with a directory of ours, by number, as runc does.
    pub fn ask(&self, kind: u8) {
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

    pub fn answer(&self) -> Option<rpc::Response> {
        let Some(packet) = receive(self.runc.as_ref().unwrap()).unwrap() else {
            let failed: Option<Failed> = self.gate().read_json(RELAY_FAILED).unwrap();
            println!("relay: no answer: {failed:?}");
            return None;
        };
        Some(rpc::response(&packet.bytes).unwrap())
    }

    pub fn try_allow(&self) -> Result<(), nix::errno::Errno> {
        let bytes = vec![0x08, 6, 0x18, 1];
        send(
            self.runc.as_ref().unwrap(),
            &Packet {
                bytes,
                descriptors: Vec::new(),
            },
        )
    }

    pub fn allow(&self, name: &str) {
        assert_eq!(self.answer().unwrap().stage.as_deref(), Some(name));
        self.try_allow().unwrap();
    }

    pub fn restore_until_post_restore(&mut self) {
        self.start("restore");
        self.ask(2);
        self.wait_for(WAITING);
        self.gate().mark(GO).unwrap();
        assert_eq!(self.answer().unwrap().stage.as_deref(), Some("post-restore"));
        assert_eq!(self.freezer.pids().unwrap().len(), 1);
    }

    pub fn until(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !done(self) {
            assert!(Instant::now() < end, "never: {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn wait_for(&self, name: &str) {
        self.until(name, |stage| stage.gate().has(name).unwrap());
    }

    /// How far the restored task has come.
    pub fn steps(&self) -> u64 {
        fs::metadata(self.path("steps")).map_or(0, |metadata| metadata.len())
    }

    /// The launcher, now CRIU, ends by itself.
    pub fn relayed_to_the_end(&mut self, success: bool) {
        let status = self.launcher.take().unwrap().wait().unwrap();
        assert_eq!(status.success(), success, "{status}");
    }

    /// The relay says why, CRIU is gone, and so is the task, which has not run.
    pub fn failed_with(&mut self, reason: &str) {
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
