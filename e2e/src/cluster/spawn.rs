//! Starting a process in given cgroups and namespaces.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, setns, unshare};

use super::cgroups::Groups;

/// Where a new process is to live.
#[derive(Debug, Clone)]
pub struct Place {
    /// Joined before the namespaces are entered, so that a new cgroup namespace has them as its root.
    pub groups: Groups,
    /// The network namespace to enter, as a file (`/run/netns/NAME`).
    pub network: PathBuf,
    /// What is to be new. With `CLONE_NEWPID` the process is the first one of its PID namespace.
    pub fresh: CloneFlags,
}

/// Start `command` as the leader of a session of its own in `place`. Not waiting for it is fine.
pub fn spawn(mut command: Command, place: &Place) -> Result<Child> {
    let mut groups = place.groups.join_files()?;
    let network = open(&place.network)?;
    let fresh = place.fresh;
    let inner = fresh - CloneFlags::CLONE_NEWPID;
    // SAFETY: between fork and exec only system calls on descriptors that were opened before; nothing allocates.
    unsafe {
        command.pre_exec(move || {
            for file in &mut groups {
                file.write_all(b"0")?;
            }
            setns(&network, CloneFlags::CLONE_NEWNET)?;
            unshare(inner)?;
            nix::unistd::setsid()?;
            Ok(())
        });
    }
    // A new PID namespace holds the children of the thread that asked for it: so a thread that does nothing else.
    on_own_thread(move || {
        if fresh.contains(CloneFlags::CLONE_NEWPID) {
            unshare(CloneFlags::CLONE_NEWPID).context("unshare the PID namespace")?;
        }
        command
            .spawn()
            .with_context(|| format!("start {}", command.get_program().to_string_lossy()))
    })
}

/// Start `command` inside all namespaces of the process `init`, and in `groups`.
pub fn spawn_inside(mut command: Command, init: i32, groups: &Groups) -> Result<Child> {
    let mut joined = groups.join_files()?;
    let namespace = |kind: &str| open(Path::new(&format!("/proc/{init}/ns/{kind}")));
    let process_ids = namespace("pid")?;
    let others = [
        (namespace("cgroup")?, CloneFlags::CLONE_NEWCGROUP),
        (namespace("uts")?, CloneFlags::CLONE_NEWUTS),
        (namespace("ipc")?, CloneFlags::CLONE_NEWIPC),
        (namespace("net")?, CloneFlags::CLONE_NEWNET),
        (namespace("mnt")?, CloneFlags::CLONE_NEWNS),
    ];
    // SAFETY: as in `spawn`.
    unsafe {
        command.pre_exec(move || {
            for file in &mut joined {
                file.write_all(b"0")?;
            }
            for (file, kind) in &others {
                setns(file, *kind)?;
            }
            Ok(())
        });
    }
    on_own_thread(move || {
        setns(&process_ids, CloneFlags::CLONE_NEWPID).context("enter the PID namespace")?;
        command
            .spawn()
            .with_context(|| format!("start {}", command.get_program().to_string_lossy()))
    })
}

/// Do something in a network namespace (a file such as `/run/netns/NAME` or `/proc/PID/ns/net`), on a thread of its
/// own, so that the caller's threads stay where they are.
pub fn in_network<T: Send>(network: &Path, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let file = open(network)?;
    on_own_thread(move || {
        setns(&file, CloneFlags::CLONE_NEWNET).with_context(|| format!("enter {}", network.display()))?;
        work()
    })
}

pub(super) fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| scope.spawn(work).join()).map_err(|_| anyhow!("a thread panicked"))?
}

fn open(path: &Path) -> Result<File> {
    File::open(path).with_context(|| format!("open {}", path.display()))
}
