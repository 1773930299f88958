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

#[path = "relay/criu.rs"]
mod criu;
#[path = "relay/stage.rs"]
mod stage;

use std::fs;
use std::time::Duration;

use criu::memory;
use godwit_runtime::process;
use godwit_runtime::record::{self, ABORT, GO, HELD, Held, RELAY_FAILED, STAGES, WAITING};
use godwit_runtime::rpc::Kind;
use godwit_runtime::veil;
use stage::Stage;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|word| word == "swrk") {
        criu::fake_criu(&std::env::var("FAKE_CRIU").unwrap());
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
const CASES: [Case; 18] = [
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
    ("CRIU reads the flags that were noted", criu_reads_noted_flags),
    (
        "flags of other mappings are not used",
        flags_of_other_mappings_are_not_used,
    ),
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

/// Of this task, right before its dump.
fn essence_of(task: i32) -> String {
    veil::essence(&fs::read_to_string(format!("/proc/{task}/smaps")).unwrap())
}

fn dumped_with_flags(stage: &mut Stage, task: i32, role: &str, noted: &str) -> bool {
    let file = format!("{}{task}", veil::FLAGS);
    stage.gate().write(&file, noted.as_bytes()).unwrap();
    // What CRIU saw is right: it says so by going on.
    stage.dump_until_images(role, task);
    stage.allow("status-ready");
    assert!(stage.answer().unwrap().success);
    stage.relayed_to_the_end(true);
    stage.gate().has(&file).unwrap()
}

fn criu_reads_noted_flags(stage: &mut Stage) {
    let task = stage.frozen_task();
    let noted = essence_of(task);
    assert!(dumped_with_flags(stage, task, "lazy-dump-noted", &noted));
    let smaps = fs::read_to_string(format!("/proc/{task}/smaps")).unwrap();
    assert!(smaps.contains("Rss:"), "the cover is seen outside");
}

fn flags_of_other_mappings_are_not_used(stage: &mut Stage) {
    let task = stage.frozen_task();
    let noted = essence_of(task);
    let (_, without_the_first) = noted.split_once("VmFlags").unwrap();
    let (_, without_the_first) = without_the_first.split_once('\n').unwrap();
    let used = dumped_with_flags(stage, task, "lazy-dump", without_the_first);
    assert!(!used, "CRIU was told of other mappings");
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
