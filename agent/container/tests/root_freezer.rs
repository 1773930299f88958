//! Freezing real processes in groups below the caller's own. Needs root.

#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use godwit_container::cgroup::{Freezer, State, Version, freeze_all, memberships};
use godwit_container::host::Host;

const DEADLINE: Duration = Duration::from_secs(10);

/// A group below the caller's own, and what runs in it. Both go when it is dropped.
struct Scratch {
    freezer: Freezer,
    processes: Vec<Child>,
}

impl Scratch {
    /// None if the machine does not mount a freezer of this version.
    fn new(version: Version, name: &str) -> Option<Self> {
        let host = Host::own();
        let all = memberships(&host, host.pid).unwrap();
        let own = all.iter().find(|one| match version {
            Version::V1 => one.has("freezer"),
            Version::V2 => one.is_v2(),
        })?;
        let directory = own.directory.join(format!("gwt-{name}-{}", host.pid));
        std::fs::create_dir(&directory).unwrap();
        Some(Self {
            freezer: Freezer::at(version, &directory),
            processes: Vec::new(),
        })
    }

    fn run(&mut self, script: &str) {
        let enter = format!(
            "echo $$ > {}/cgroup.procs; {script}",
            self.freezer.directory().display()
        );
        let child = Command::new("/bin/sh")
            .args(["-c", &enter])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        self.processes.push(child);
        until("the process to be in its group", || {
            self.freezer.processes().unwrap().contains(&pid)
        });
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = self.freezer.thaw(DEADLINE);
        let since = Instant::now();
        while since.elapsed() < DEADLINE {
            for pid in self.freezer.processes().unwrap_or_default() {
                let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
            }
            for child in &mut self.processes {
                let _ = child.try_wait();
            }
            if std::fs::remove_dir(self.freezer.directory()).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is() {
        assert!(since.elapsed() < DEADLINE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map(|data| data.len()).unwrap_or_default()
}

fn freezes_a_writer(version: Version) {
    let Some(mut scratch) = Scratch::new(version, "writer") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let file: PathBuf = dir.path().join("f");
    scratch.run(&format!("while :; do echo x >> {}; done", file.display()));
    until("the writer to write", || length(&file) > 0);
    assert_eq!(scratch.freezer.state().unwrap(), State::Thawed);

    scratch.freezer.freeze(DEADLINE).unwrap();
    let frozen = length(&file);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(length(&file), frozen, "a frozen process wrote");
    assert_eq!(scratch.freezer.state().unwrap(), State::Frozen);

    scratch.freezer.thaw(DEADLINE).unwrap();
    until("the thawed writer to write", || length(&file) > frozen);
}

#[test]
fn a_frozen_process_does_nothing_until_it_is_thawed_v1() {
    freezes_a_writer(Version::V1);
}

#[test]
fn a_frozen_process_does_nothing_until_it_is_thawed_v2() {
    freezes_a_writer(Version::V2);
}

fn freezes_a_busy_tree(version: Version) {
    let Some(mut scratch) = Scratch::new(version, "busy") else {
        return;
    };
    // Forks and execs without pause: processes are always on their way in and out while the group freezes.
    for _ in 0..6 {
        scratch.run("while :; do /bin/true & /bin/true; wait; done");
    }
    for round in 0..30 {
        scratch.freezer.freeze(DEADLINE).unwrap();
        let before = scratch.freezer.processes().unwrap();
        assert!(before.len() >= 6, "round {round}");
        assert_eq!(
            scratch.freezer.processes().unwrap(),
            before,
            "a frozen tree changed in round {round}"
        );
        scratch.freezer.thaw(DEADLINE).unwrap();
    }
}

#[test]
fn a_tree_that_forks_all_the_time_freezes_v1() {
    freezes_a_busy_tree(Version::V1);
}

#[test]
fn a_tree_that_forks_all_the_time_freezes_v2() {
    freezes_a_busy_tree(Version::V2);
}

#[test]
fn many_freeze_as_one_and_all_run_again_if_one_is_missing() {
    let mut all: Vec<Scratch> = (0..3)
        .filter_map(|n| Scratch::new(Version::V1, &format!("many{n}")))
        .collect();
    for scratch in &mut all {
        scratch.run("while :; do :; done");
    }
    let mut freezers: Vec<Freezer> = all.iter().map(|scratch| scratch.freezer.clone()).collect();
    freeze_all(&freezers, DEADLINE).unwrap();
    assert!(freezers.iter().all(|one| one.state().unwrap() == State::Frozen));
    for one in &freezers {
        one.thaw(DEADLINE).unwrap();
    }

    freezers.push(Freezer::at(Version::V1, Path::new("/nonexistent")));
    freeze_all(&freezers, DEADLINE).unwrap_err();
    for scratch in &all {
        until("the group to thaw", || {
            scratch.freezer.state().unwrap() == State::Thawed
        });
    }
}

#[test]
fn the_freezer_of_a_process_is_that_of_its_group_and_never_the_callers() {
    let Some(mut scratch) = Scratch::new(Version::V1, "of") else {
        return;
    };
    scratch.run("while :; do :; done");
    let host = Host::own();
    let pid = *scratch.freezer.processes().unwrap().first().unwrap();
    let found = Freezer::of_pid(&host, pid).unwrap();
    assert_eq!(found.version(), Version::V1);
    assert_eq!(host.in_host_view(found.directory()), scratch.freezer.directory());
    assert_eq!(
        Freezer::of_pid(&host, host.pid).unwrap_err().reason(),
        "CgroupShared"
    );
}

#[test]
fn a_group_below_a_frozen_one_does_not_pass_for_thawed() {
    let Some(mut scratch) = Scratch::new(Version::V1, "above") else {
        return;
    };
    scratch.run("while :; do :; done");
    let below = scratch.freezer.directory().join("below");
    std::fs::create_dir(&below).unwrap();
    scratch.freezer.freeze(DEADLINE).unwrap();
    let error = Freezer::at(Version::V1, &below)
        .thaw(Duration::from_millis(20))
        .unwrap_err();
    std::fs::remove_dir(&below).unwrap();
    assert_eq!(error.reason(), "FreezeTimeout");
}
