//! A start that is killed at any point leaves nothing that `down` does not remove.
//!
//! It all happens in mount and network namespaces of the test's own, below cgroups of its own, so that a cluster
//! which is up meanwhile is not touched.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use godwit_e2e::cluster::cgroups::{Groups, Version};
use godwit_e2e::cluster::start;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

const STATE: &str = "/run/godwit-e2e";

/// What is there once a start has come so far.
const POINTS: &[&str] = &[
    "godwit-e2e.lock",
    "godwit-e2e/ledger.json",
    "netns/gw-cp",
    "netns/gw-n2",
    "godwit-e2e/kubeconfig",
    "godwit-e2e/control-plane.spec.json",
    "godwit-e2e/log/control-plane-etcd.log",
    "godwit-e2e/n1.spec.json",
    "godwit-e2e/log/n2-containerd.log",
    "godwit-e2e/log/n2-kubelet.log",
    "godwit-e2e/state.json",
];

#[test]
fn a_start_killed_at_any_point_leaves_nothing_behind() {
    start::prepare().unwrap();
    let groups = Own::enter();
    let before = left(&groups.dirs);
    for point in POINTS {
        let mut up = e2e(&["up", "--nodes", "2"]).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_mins(3);
        while !Path::new("/run").join(point).exists() {
            assert!(Instant::now() < deadline, "{point} never came");
            std::thread::sleep(Duration::from_millis(1));
        }
        up.kill().unwrap();
        up.wait().unwrap();
        assert!(e2e(&["down"]).status().unwrap().success(), "after {point}");
        assert_eq!(left(&groups.dirs), before, "after {point}");
    }
}

#[test]
fn frozen_processes_of_a_node_are_removed_too() {
    start::prepare().unwrap();
    let groups = Own::enter();
    if groups.version != Version::V1 {
        // There the node's own group cannot be frozen from inside by a file of this name.
        return;
    }
    let before = left(&groups.dirs);
    assert!(e2e(&["up", "--nodes", "1"]).status().unwrap().success());
    let freeze = "mkdir /sys/fs/cgroup/freezer/x && { sleep 1000 & } && echo $! > /sys/fs/cgroup/freezer/x/cgroup.procs \
                  && echo FROZEN > /sys/fs/cgroup/freezer/x/freezer.state";
    assert!(
        e2e(&["node", "n1", "sh", "-c", freeze])
            .status()
            .unwrap()
            .success()
    );
    assert!(e2e(&["down"]).status().unwrap().success());
    assert_eq!(left(&groups.dirs), before);
}

fn e2e(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_e2e"));
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Everything that a run could leave: links, routes, named namespaces, files and mounts below `/run`, cgroups, and
/// processes in them.
fn left(groups: &[PathBuf]) -> Vec<String> {
    let said = |words: &[&str]| {
        let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let mut all = vec![
        said(&["ip", "-brief", "link"]),
        said(&["ip", "route"]),
        said(&["ip", "netns"]),
    ];
    let mounts = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
    all.extend(
        mounts
            .lines()
            .filter_map(|line| line.split(' ').nth(4))
            .filter(|at| at.starts_with("/run"))
            .map(str::to_owned),
    );
    assert!(!Path::new(STATE).exists());
    for group in groups {
        all.push(said(&["find", group.to_str().unwrap(), "-type", "d"]));
        let processes = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
        all.push(format!("{} processes", processes.lines().count()));
    }
    all
}

/// Groups of the test's own, and namespaces for the calling thread and all that it starts.
struct Own {
    dirs: Vec<PathBuf>,
    version: Version,
    groups: Groups,
}

impl Own {
    fn enter() -> Self {
        let thread = nix::unistd::gettid();
        let groups = Groups::plan(&format!("gwt-killed-{thread}")).unwrap();
        if groups.version == Version::V1 {
            groups.create().unwrap();
            for dir in &groups.dirs {
                // The thread alone: what it starts is born there.
                std::fs::write(dir.join("tasks"), thread.to_string()).unwrap();
            }
        }
        unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none).unwrap();
        let _ = umount2("/run/netns", MntFlags::MNT_DETACH);
        mount(Some("tmpfs"), "/run", Some("tmpfs"), MsFlags::empty(), none).unwrap();
        Self {
            dirs: groups.dirs.clone(),
            version: groups.version,
            groups,
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if self.version != Version::V1 {
            return;
        }
        let thread = nix::unistd::gettid().to_string();
        let _ = e2e(&["down"]).status();
        for dir in &self.dirs {
            let _ = std::fs::write(dir.parent().unwrap().join("tasks"), &thread);
        }
        let _ = self.groups.remove();
    }
}
