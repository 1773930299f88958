//! Nobody is stopped, traced or frozen by a look, and nobody has another state after it. Needs root, as the look does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot set up its scene has failed"
)]

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use godwit_preflight::{Container, Pod, look};

/// Processes that do something all the time, so that a stop would show.
const PROCESSES: usize = 12;
const LOOKS: usize = 10;

struct Crowd(Vec<Child>);

impl Crowd {
    fn start() -> Self {
        let begin = |_| {
            let mut busy = Command::new("sh");
            busy.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
            busy.spawn().unwrap()
        };
        Self((0..PROCESSES).map(begin).collect())
    }

    fn pids(&self) -> Vec<u32> {
        self.0.iter().map(Child::id).collect()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for process in &mut self.0 {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// What somebody does to a process: stopped or traced (`proc(5)`, `State` and `TracerPid`).
fn disturbed(pid: u32) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().trim().to_owned()
    };
    let (state, tracer) = (field("State:"), field("TracerPid:"));
    let is = state.starts_with(['T', 't']) || tracer != "0";
    is.then(|| format!("{pid} is {state}, traced by {tracer}"))
}

/// Watches them until it is told that it is over; gives what it saw, and how often it looked at all of them.
fn watched(pids: &[u32], over: &AtomicBool, rounds: &AtomicUsize) -> Vec<String> {
    let mut seen = Vec::new();
    while !over.load(Ordering::Relaxed) {
        seen.extend(pids.iter().filter_map(|pid| disturbed(*pid)));
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    seen
}

#[test]
fn nobody_is_stopped_or_traced_by_a_look() {
    let crowd = Crowd::start();
    let pids = crowd.pids();
    let pod = Pod {
        proc: "/proc".into(),
        containers: vec![Container {
            name: "app".into(),
            pids: pids.clone(),
            mounts: Vec::new(),
        }],
        ghost_limit: 1 << 20,
        watches_on_overlay: true,
    };
    let (over, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen = thread::scope(|scope| {
        let watcher = scope.spawn(|| watched(&pids, &over, &rounds));
        for _ in 0..LOOKS {
            look(&pod);
        }
        over.store(true, Ordering::Relaxed);
        watcher.join().unwrap()
    });
    assert_eq!(seen, Vec::<String>::new());
    assert!(rounds.into_inner() >= LOOKS, "hardly anybody has watched");
}

#[test]
fn a_process_that_is_stopped_would_be_noticed() {
    let crowd = Crowd::start();
    let pid = crowd.pids()[0];
    let stop = Command::new("kill").args(["-STOP", &pid.to_string()]).status();
    assert!(stop.unwrap().success());
    let found = (0..1000).find_map(|_| {
        thread::sleep(std::time::Duration::from_millis(5));
        disturbed(pid)
    });
    assert!(found.is_some());
}
