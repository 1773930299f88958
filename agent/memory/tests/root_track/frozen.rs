//! Processes in a frozen cgroup.

use std::fs;
use std::path::PathBuf;

use godwit_memory::track::{Method, TrackError, Tracker};

use crate::target::{Copy, Target, all, pages_in, round, until};

/// A cgroup that can be frozen, of either version; removed at the end.
struct Freezer {
    directory: PathBuf,
    first_version: bool,
}

impl Freezer {
    fn of(target: &Target) -> Self {
        let first = PathBuf::from("/sys/fs/cgroup/freezer");
        let first_version = first.is_dir();
        let root = if first_version {
            first
        } else {
            PathBuf::from("/sys/fs/cgroup")
        };
        let directory = root.join(format!("gwt-track-{}", target.pid));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("cgroup.procs"), target.pid.to_string()).unwrap();
        Self {
            directory,
            first_version,
        }
    }

    fn freeze(&self, frozen: bool) {
        let (file, value) = match (self.first_version, frozen) {
            (true, true) => ("freezer.state", "FROZEN"),
            (true, false) => ("freezer.state", "THAWED"),
            (false, true) => ("cgroup.freeze", "1"),
            (false, false) => ("cgroup.freeze", "0"),
        };
        fs::write(self.directory.join(file), value).unwrap();
        let (file, wanted) = match (self.first_version, frozen) {
            (true, _) => ("freezer.state", value),
            (false, true) => ("cgroup.events", "frozen 1"),
            (false, false) => ("cgroup.events", "frozen 0"),
        };
        until(wanted, || {
            fs::read_to_string(self.directory.join(file))
                .unwrap()
                .contains(wanted)
        });
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        if self.first_version {
            let _ = fs::write(self.directory.join("freezer.state"), "THAWED");
        }
        let processes = fs::read_to_string(self.directory.join("cgroup.procs")).unwrap_or_default();
        for pid in processes.lines().filter_map(|line| line.parse().ok()) {
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
        let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while fs::remove_dir(&self.directory).is_err() && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn the_last_round_is_taken_from_a_frozen_cgroup() {
    let mut target = Target::start();
    let freezer = Freezer::of(&target);
    let plain = target.address("map 5000");
    target.ask(&format!("fill {plain} 5000 1"));
    target.ask(&format!("scribble {plain} 5000 2 3"));
    let mut tracker = Tracker::new(Method::WriteProtect);
    let mut copy = Copy::default();
    for _ in 0..3 {
        copy.take(&round(&mut tracker, target.pid));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let new = target.address("map 10");
    target.ask(&format!("fill {new} 10 1"));
    freezer.freeze(true);
    let last = tracker.round(&[target.pid], true).unwrap();
    assert_eq!(pages_in(&last.processes[0], new, 10), all(10));
    copy.take(&last.processes[0]);
    assert!(copy.compare(target.pid) > 5000);
    tracker.finish();
    freezer.freeze(false);
    target.ask("pid");
}

#[test]
fn a_process_frozen_by_somebody_else_is_refused_and_unharmed() {
    let mut target = Target::start();
    let freezer = Freezer::of(&target);
    target.ask("compute 50");
    let start = target.address("map 10");
    target.ask(&format!("fill {start} 10 1"));
    target.tell("compute 2000");
    freezer.freeze(true);
    let result = Tracker::new(Method::WriteProtect).round(&[target.pid], false);
    // The freezer of the second version lets tracers stop a frozen task.
    match result {
        Ok(round) => assert_eq!(pages_in(&round.processes[0], start, 10), all(10)),
        Err(error) => {
            assert!(matches!(error, TrackError::Injection { .. }));
            assert!(
                ["NotStopped", "InjectionStuck"].contains(&error.reason()),
                "{error:?}"
            );
        }
    }
    freezer.freeze(false);
    assert_eq!(target.answer(), 0, "wrong sums");
    assert_eq!(
        pages_in(
            &round(&mut Tracker::new(Method::WriteProtect), target.pid),
            start,
            10
        ),
        all(10)
    );
}

#[test]
fn freezing_at_any_moment_of_the_injection_harms_nobody() {
    let mut target = Target::start();
    let freezer = Freezer::of(&target);
    target.ask("compute 50");
    let before = target.descriptors();
    target.tell("compute 60000");
    let mut stuck = 0;
    for step in 0..30_u64 {
        let pid = target.pid;
        let tracking = std::thread::spawn(move || Tracker::new(Method::WriteProtect).round(&[pid], false));
        let spin = std::time::Instant::now();
        while spin.elapsed() < std::time::Duration::from_micros(step * 40) {
            std::hint::spin_loop();
        }
        freezer.freeze(true);
        std::thread::sleep(std::time::Duration::from_millis(5));
        freezer.freeze(false);
        stuck += u32::from(tracking.join().unwrap().is_err());
    }
    println!("{stuck} of 30 were refused");
    until("all tracking ends", || {
        !target.flags().iter().any(|flags| flags.contains(" uw"))
    });
    assert_eq!(target.descriptors(), before);
    assert_eq!(target.state(), 'R', "it goes on computing");
}
