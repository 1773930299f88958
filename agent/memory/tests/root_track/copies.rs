//! The whole of it: what was told and read over many rounds is the memory in the end.

use std::time::Duration;

use godwit_memory::track::{Method, Tracker, probe, probed};

use crate::target::{Copy, Target, until};

#[test]
fn the_copy_is_the_memory() {
    let mut target = Target::start();
    let plain = target.address("map 20000");
    target.ask(&format!("fill {plain} 20000 1"));
    let huge = target.address("huge 2048");
    target.ask(&format!("fill {huge} 2048 1"));
    target.ask(&format!("scribble {plain} 20000 2 1"));
    target.ask(&format!("scribble {huge} 2048 1 2"));
    let mut tracker = Tracker::new(Method::WriteProtect);
    let mut copy = Copy::default();
    let mut told = Vec::new();
    for _ in 0..12 {
        let round = tracker.round(&[target.pid], false).unwrap();
        told.push(round.processes[0].pages());
        copy.take(&round.processes[0]);
        std::thread::sleep(Duration::from_millis(150));
    }
    target.stop();
    let last = tracker.round(&[target.pid], true).unwrap();
    copy.take(&last.processes[0]);
    let compared = copy.compare(target.pid);
    println!(
        "{compared} pages compared; rounds told {told:?}, the last {}",
        last.processes[0].pages()
    );
    assert!(compared > 20_000);
    assert!(told[0] > 20_000 && told[1..].iter().any(|&pages| pages > 0));
    // And it can go on.
    target.signal(libc::SIGCONT);
    let before = target.ask("work");
    until("it works", || {
        std::thread::sleep(Duration::from_millis(10));
        true
    });
    assert!(target.ask("work") > before);
}

#[test]
fn write_protection_is_found_by_trying() {
    assert_eq!(probe(), Method::WriteProtect, "{:?}", probed());
    assert_eq!(probed().write_protect, Ok(()));
}

/// A tracker that begins and ends again and again, to be killed.
fn tracker_process(pid: i32) -> std::process::Child {
    std::process::Command::new("/proc/self/exe")
        .args(["copies::tracks_for_ever", "--exact", "--nocapture"])
        .env("GODWIT_TRACK", pid.to_string())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// Run as a process of its own by the next test; by itself it only looks at itself once.
#[test]
fn tracks_for_ever() {
    let Ok(pid) = std::env::var("GODWIT_TRACK") else {
        let mut target = Target::start();
        let told = Tracker::new(Method::WriteProtect)
            .round(&[target.pid], false)
            .unwrap();
        assert_eq!(told.processes.len(), 1);
        assert_eq!(target.ask("pid"), i64::from(target.pid));
        return;
    };
    let pid = pid.parse().unwrap();
    loop {
        let mut tracker = Tracker::new(Method::WriteProtect);
        tracker.round(&[pid], false).unwrap();
    }
}

#[test]
fn killing_the_tracker_at_any_moment_harms_nobody() {
    let mut target = Target::start();
    target.ask("compute 50");
    let before = target.descriptors();
    target.tell("compute 9000");
    for step in 0..60_u64 {
        let mut tracker = tracker_process(target.pid);
        std::thread::sleep(Duration::from_micros(30_000 + step * 137));
        tracker.kill().unwrap();
        tracker.wait().unwrap();
    }
    assert_eq!(target.answer(), 0, "wrong sums");
    until("all tracking ends", || {
        !target.flags().iter().any(|flags| flags.contains(" uw"))
    });
    assert_eq!(target.descriptors(), before);
}
