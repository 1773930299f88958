//! Which pages are told: one kind of change of the memory after the other.

use godwit_memory::track::{Method, Tracker};

use crate::target::{Copy, Target, all, flags, none, pages_in, round};

fn start() -> (Target, Tracker) {
    (Target::start(), Tracker::new(Method::WriteProtect))
}

#[test]
fn written_pages_are_told_once() {
    let (mut target, mut tracker) = start();
    let start = target.address("map 100");
    target.ask(&format!("fill {start} 50 1"));
    let first = round(&mut tracker, target.pid);
    assert_eq!(
        pages_in(&first, start, 100),
        all(50),
        "everything populated, at first"
    );
    assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 100), none());
    target.ask(&format!("read {start} 100"));
    assert_eq!(
        pages_in(&round(&mut tracker, target.pid), start, 100),
        none(),
        "reading is not writing"
    );
    target.ask(&format!("fill {} 3 2", start + 10 * 4096));
    assert_eq!(
        pages_in(&round(&mut tracker, target.pid), start, 100),
        [10, 11, 12]
    );
    target.ask(&format!("fill {start} 100 3"));
    assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 100), all(100));
    assert_eq!(
        target.ask(&format!("kernel_write {start} 10")),
        40960,
        "as if nobody tracked"
    );
    assert_eq!(
        pages_in(&round(&mut tracker, target.pid), start, 100),
        all(10),
        "written by the kernel"
    );
}

#[test]
fn new_and_moved_mappings_are_told_in_whole() {
    let (mut target, mut tracker) = start();
    round(&mut tracker, target.pid);
    let mapped = target.address("map 64");
    target.ask(&format!("fill {mapped} 64 1"));
    let heap = target.address("brk 32");
    target.ask(&format!("fill {heap} 31 1"));
    let second = round(&mut tracker, target.pid);
    assert_eq!(pages_in(&second, mapped, 64), all(64));
    assert_eq!(pages_in(&second, heap, 31), all(31));
    target.ask(&format!("fill {mapped} 2 2"));
    target.ask(&format!("fill {heap} 1 2"));
    let third = round(&mut tracker, target.pid);
    assert_eq!(
        (pages_in(&third, mapped, 64), pages_in(&third, heap, 31)),
        (all(2), all(1))
    );
    let moved = target.address(&format!("mremap {mapped} 64 128"));
    assert_eq!(pages_in(&round(&mut tracker, target.pid), moved, 128), all(64));
    target.ask(&format!("remap_same {moved} 128"));
    target.ask(&format!("fill {moved} 100 4"));
    assert_eq!(pages_in(&round(&mut tracker, target.pid), moved, 128), all(100));
    target.ask(&format!("fill {moved} 1 5"));
    assert_eq!(pages_in(&round(&mut tracker, target.pid), moved, 128), all(1));
}

#[test]
fn a_frozen_round_needs_no_running_process() {
    let (mut target, mut tracker) = start();
    let known = target.address("map 10");
    target.ask(&format!("fill {known} 10 1"));
    round(&mut tracker, target.pid);
    target.ask(&format!("fill {known} 2 2"));
    let new = target.address("map 10");
    target.ask(&format!("fill {new} 10 1"));
    target.stop();
    let frozen = tracker.round(&[target.pid], true).unwrap();
    assert_eq!(frozen.stopped, std::time::Duration::ZERO);
    assert_eq!(pages_in(&frozen.processes[0], known, 10), all(2));
    assert_eq!(
        pages_in(&frozen.processes[0], new, 10),
        all(10),
        "a mapping nobody knew"
    );
    let mut fresh = Tracker::new(Method::WriteProtect);
    let whole = fresh.round(&[target.pid], true).unwrap();
    assert_eq!(
        pages_in(&whole.processes[0], known, 10),
        all(10),
        "a process nobody knew"
    );
    assert!(!target.flags().is_empty());
    fresh.finish();
    assert!(
        target.flags().iter().any(|flags| flags.contains(" uw")),
        "the other one still tracks"
    );
}

#[test]
fn dropped_pages_are_not_told_until_they_are_written() {
    let (mut target, mut tracker) = start();
    let start = target.address("map 100");
    target.ask(&format!("fill {start} 100 1"));
    round(&mut tracker, target.pid);
    target.ask(&format!("madvise {start} 50 {}", libc::MADV_DONTNEED));
    assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 100), none());
    assert_eq!(target.ask(&format!("read {start} 50")), 0);
    assert_eq!(
        pages_in(&round(&mut tracker, target.pid), start, 100),
        none(),
        "the zero page"
    );
    target.ask(&format!("fill {start} 20 7"));
    assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 100), all(20));
}

#[test]
fn huge_pages_are_told_and_split() {
    let (mut target, mut tracker) = start();
    let start = target.address("huge 2048");
    target.ask(&format!("fill {start} 2048 1"));
    assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 2048), all(2048));
    assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 2048), none());
    target.ask(&format!("fill {} 1 2", start + 700 * 4096));
    assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 2048), [700]);
    assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 2048), none());
    target.ask(&format!("fill {start} 2048 3"));
    assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 2048), all(2048));
}

#[test]
fn untouched_memory_stays_without_page_tables() {
    let (mut target, mut tracker) = start();
    target.address("map 2097152");
    let tables = |pid: i32| -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmPTE")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let before = tables(target.pid);
    for _ in 0..3 {
        round(&mut tracker, target.pid);
    }
    assert!(
        tables(target.pid) <= before + 64,
        "{before} kB became {} kB",
        tables(target.pid)
    );
}

#[test]
fn memory_without_permissions_is_told_and_read() {
    let (mut target, mut tracker) = start();
    let start = target.address("map 10");
    target.ask(&format!("fill {start} 10 5"));
    target.ask(&format!("mprotect {start} 10 0"));
    let first = round(&mut tracker, target.pid);
    assert_eq!(pages_in(&first, start, 10), all(10));
    let mut copy = Copy::default();
    copy.take(&first);
    assert_eq!(copy.pages[&(start + 4096)][0], 5);
    target.ask(&format!("mprotect {start} 10 3"));
    target.ask(&format!("fill {start} 3 6"));
    target.ask(&format!("mprotect {start} 10 1"));
    assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 10), all(3));
    target.ask(&format!("mprotect {start} 10 7"));
    target.ask(&format!("fill {start} 1 7"));
    let executable = round(&mut tracker, target.pid);
    let told = executable
        .ranges
        .iter()
        .find(|dirty| dirty.range.start == start)
        .unwrap();
    assert!(told.executable);
}

#[test]
fn guard_pages_stay_guards_and_cost_no_neighbour() {
    const MADV_GUARD_INSTALL: i32 = 102;
    let (mut target, mut tracker) = start();
    let start = target.address("map 30");
    target.ask(&format!("fill {start} 30 8"));
    let installed = target.ask(&format!("madvise {} 10 {MADV_GUARD_INSTALL}", start + 10 * 4096));
    assert_eq!(installed, 0, "Linux 6.13 or later");
    let mut copy = Copy::default();
    for _ in 0..3 {
        let process = round(&mut tracker, target.pid);
        copy.take(&process);
        target.ask(&format!("fill {start} 10 9"));
    }
    let inside = |page: u64| copy.pages.contains_key(&(start + page * 4096));
    assert!(
        (0..10).all(inside) && (20..30).all(inside),
        "pages around the guards"
    );
    assert!(!(10..20).any(inside), "guards have no content");
    assert_eq!(
        target.ask(&format!("kernel_write {} 1", start + 10 * 4096)),
        -1,
        "still a guard"
    );
}

#[test]
fn files_shared_and_locked_memory_are_left_to_criu() {
    let (mut target, mut tracker) = start();
    let file = target.address("file 10");
    target.ask(&format!("fill {file} 5 1"));
    let shared = target.address("shared 10");
    target.ask(&format!("fill {shared} 10 1"));
    let locked = target.address("map 10");
    target.ask(&format!("fill {locked} 10 1"));
    assert_eq!(target.ask(&format!("mlock {locked} 10")), 0);
    for _ in 0..2 {
        let process = round(&mut tracker, target.pid);
        for start in [file, shared, locked] {
            assert_eq!(pages_in(&process, start, 10), none());
        }
        target.ask(&format!("fill {file} 5 2"));
        target.ask(&format!("fill {locked} 10 2"));
    }
    target.ask(&format!("munlock {locked} 10"));
    assert_eq!(
        pages_in(&round(&mut tracker, target.pid), locked, 10),
        all(10),
        "not locked any more"
    );
    target.ask(&format!("mlock {locked} 10"));
    target.ask(&format!("fill {locked} 4 3"));
    round(&mut tracker, target.pid);
    target.ask(&format!("munlock {locked} 10"));
    target.stop();
    let mut copy = Copy::default();
    copy.take(&tracker.round(&[target.pid], true).unwrap().processes[0]);
    assert!(!target.flags().is_empty());
}

#[test]
fn stack_and_heap_are_told() {
    let (mut target, mut tracker) = start();
    target.address("brk 4");
    let process = round(&mut tracker, target.pid);
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", target.pid)).unwrap();
    for name in ["[stack]", "[heap]"] {
        let line = maps.lines().find(|line| line.ends_with(name)).unwrap();
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let start = u64::from_str_radix(start, 16).unwrap();
        let end = u64::from_str_radix(end, 16).unwrap();
        assert!(
            !pages_in(&process, start, (end - start) / 4096).is_empty(),
            "{name}"
        );
    }
}

#[test]
fn tracking_leaves_nothing_behind_and_can_begin_again() {
    let mut target = Target::start();
    let start = target.address("map 100");
    target.ask(&format!("fill {start} 100 1"));
    let before = (target.descriptors(), target.flags());
    for ending in 0..3 {
        let mut tracker = Tracker::new(Method::WriteProtect);
        assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 100), all(100));
        assert_eq!(target.descriptors(), before.0, "no descriptor in the process");
        assert!(flags(target.pid).iter().any(|flags| flags.contains(" uw")));
        target.ask(&format!("fill {start} 10 2"));
        assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 100), all(10));
        if ending == 0 {
            tracker.finish();
        }
        drop(tracker);
        assert_eq!((target.descriptors(), target.flags()), before);
    }
}

#[test]
fn without_tracking_every_round_tells_everything() {
    let mut target = Target::start();
    let start = target.address("map 100");
    target.ask(&format!("fill {start} 100 1"));
    let mut tracker = Tracker::new(Method::None);
    for _ in 0..2 {
        assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 100), all(100));
    }
}
