//! What the tracked processes notice: nothing.

use std::time::Duration;

use godwit_memory::track::{InjectError, Method, TrackError, Tracker};

use crate::target::{Target, all, none, pages_in, round, state, until};

fn track(target: &Target) -> Tracker {
    let mut tracker = Tracker::new(Method::WriteProtect);
    round(&mut tracker, target.pid);
    tracker
}

#[test]
fn interrupted_calls_wait_their_full_time() {
    let mut target = Target::start();
    for call in ["nanosleep", "poll", "futex", "ppoll", "epoll", "sigwait"] {
        target.tell(&format!("{call} 700"));
        target.asleep();
        for _ in 0..3 {
            drop(track(&target));
            std::thread::sleep(Duration::from_millis(60));
        }
        let took = target.answer();
        // The kernel measures nothing shorter; an upper bound would measure this machine.
        assert!((695..100_000).contains(&took), "{call}: {took}");
    }
}

#[test]
fn the_remaining_time_is_kept() {
    let mut target = Target::start();
    for call in ["nanosleep", "poll", "futex"] {
        target.tell(&format!("{call} 4000"));
        target.asleep();
        std::thread::sleep(Duration::from_millis(2500));
        drop(track(&target));
        let took = target.answer();
        assert!((3995..6400).contains(&took), "{call} began anew: {took}");
    }
}

#[test]
fn pending_signals_arrive_and_end_the_calls_they_end() {
    let mut target = Target::start();
    for flags in [0, libc::SA_RESTART] {
        target.ask(&format!("handler {} {flags}", libc::SIGUSR1));
        for _ in 0..150 {
            let before = target.ask("signals");
            target.tell("pause");
            until("it sleeps", || target.state() == 'S');
            let pid = target.pid;
            let sender = std::thread::spawn(move || {
                let spin = std::time::Instant::now();
                while spin.elapsed() < Duration::from_micros(u64::from(rand() % 900)) {
                    std::hint::spin_loop();
                }
                unsafe { libc::kill(pid, libc::SIGUSR1) };
            });
            drop(track(&target));
            sender.join().unwrap();
            assert_eq!(target.answer(), i64::from(libc::EINTR));
            assert_eq!(target.ask("signals"), before + 1);
        }
    }
}

fn rand() -> u32 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .subsec_nanos()
}

#[test]
fn a_mask_that_holds_only_during_a_call_is_kept() {
    let mut target = Target::start();
    target.ask(&format!("handler {} 0", libc::SIGUSR2));
    // Blocked but inside of sigsuspend.
    target.ask(&format!("block {} {}", 1 << (libc::SIGUSR2 - 1), libc::SIG_BLOCK));
    target.tell("sigsuspend 0");
    target.asleep();
    let tracker = track(&target);
    target.asleep();
    target.signal(libc::SIGUSR2);
    assert_eq!(target.answer(), i64::from(libc::EINTR));
    assert_eq!(target.ask("signals"), 1);
    drop(tracker);
    let blocked = |pid: i32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        status
            .lines()
            .find(|line| line.starts_with("SigBlk"))
            .unwrap()
            .to_owned()
    };
    assert!(
        blocked(target.pid).ends_with("0000000000000800"),
        "{}",
        blocked(target.pid)
    );
}

#[test]
fn handlers_of_blocked_or_ignored_traps_stay() {
    let mut target = Target::start();
    target.ask(&format!("handler {} 0", libc::SIGTRAP));
    target.ask(&format!("block {} {}", 1 << (libc::SIGTRAP - 1), libc::SIG_BLOCK));
    drop(track(&target));
    assert_eq!(target.ask(&format!("default_action {}", libc::SIGTRAP)), 0);
}

#[test]
fn computing_programs_go_on_computing() {
    let mut target = Target::start();
    target.ask("compute 50");
    target.tell("compute 3000");
    for _ in 0..60 {
        drop(track(&target));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(target.answer(), 0, "wrong sums");
}

#[test]
fn filtered_programs_are_tracked() {
    let mut target = Target::start();
    assert_eq!(target.ask("seccomp"), 0);
    assert_eq!(
        target.ask("userfaultfd"),
        -i64::from(libc::EPERM),
        "the filter works"
    );
    let start = target.address("map 10");
    target.ask(&format!("fill {start} 10 1"));
    let mut tracker = Tracker::new(Method::WriteProtect);
    assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 10), all(10));
    assert_eq!(
        target.ask("userfaultfd"),
        -i64::from(libc::EPERM),
        "the filter works again"
    );
}

#[test]
fn programs_of_other_users_are_tracked() {
    let mut target = Target::start();
    assert_eq!(target.ask("setuid 1000"), 0);
    let start = target.address("map 10");
    target.ask(&format!("fill {start} 10 1"));
    let mut tracker = track(&target);
    target.ask(&format!("fill {start} 1 2"));
    assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 10), all(1));
    assert_eq!(target.ask(&format!("kernel_write {start} 3")), 3 * 4096);
    assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 10), all(3));
}

#[test]
fn processes_are_named_as_in_their_container() {
    let mut target = Target::start();
    let start = target.address("map 10");
    target.ask(&format!("fill {start} 10 1"));
    let child = i32::try_from(target.ask(&format!("fork_namespace {start} 10"))).unwrap();
    let mut tracker = Tracker::new(Method::WriteProtect);
    let process = round(&mut tracker, child);
    assert_eq!((process.pid, process.ns_pid), (child, 1));
    assert_eq!(pages_in(&process, start, 10), all(10));
}

#[test]
fn children_are_tracked_on_their_own() {
    let mut target = Target::start();
    let start = target.address("map 10");
    target.ask(&format!("fill {start} 10 1"));
    let mut tracker = track(&target);
    let child = i32::try_from(target.ask(&format!("fork {start} 10"))).unwrap();
    let both = tracker.round(&[target.pid, child], false).unwrap();
    assert_eq!(
        pages_in(&both.processes[0], start, 10),
        none(),
        "the child's writes are not the parent's"
    );
    assert_eq!(pages_in(&both.processes[1], start, 10), all(10), "a new process");
    target.ask(&format!("fill {start} 3 2"));
    let both = tracker.round(&[target.pid, child], false).unwrap();
    assert_eq!(pages_in(&both.processes[0], start, 10), all(3));
    assert_eq!(
        pages_in(&both.processes[1], start, 10),
        none(),
        "the parent's writes are not the child's"
    );
    let other = i32::try_from(target.ask(&format!("fork {start} 10"))).unwrap();
    target.stop();
    let frozen = tracker.round(&[target.pid, child, other], true).unwrap();
    assert_eq!(
        pages_in(&frozen.processes[2], start, 10),
        all(10),
        "forked and never seen before"
    );
    target.signal(libc::SIGCONT);
    target.ask(&format!("kill_child {child}"));
    let left = tracker.round(&[target.pid, child, other], false).unwrap();
    let pids: Vec<i32> = left.processes.iter().map(|process| process.pid).collect();
    assert_eq!(pids, [target.pid, other], "the other one has ended");
}

#[test]
fn a_program_that_begins_another_is_told_in_whole() {
    let mut target = Target::start();
    let mut tracker = track(&target);
    for frozen in [false, true] {
        target.ask("exec");
        target.ask("pid");
        let start = target.address("map 10");
        target.ask(&format!("fill {start} 10 1"));
        if frozen {
            target.stop();
        }
        let told = tracker.round(&[target.pid], frozen).unwrap();
        assert_eq!(
            pages_in(&told.processes[0], start, 10),
            all(10),
            "frozen: {frozen}"
        );
        if !frozen {
            target.ask(&format!("fill {start} 2 1"));
            assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 10), all(2));
        }
    }
}

#[test]
fn a_child_on_borrowed_memory_takes_no_pages_away() {
    let mut target = Target::start();
    let start = target.address("map 10");
    target.ask(&format!("fill {start} 10 1"));
    let mut tracker = track(&target);
    target.ask(&format!("fill {start} 3 2"));
    target.tell("vfork 500");
    let children = format!("/proc/{0}/task/{0}/children", target.pid);
    let mut child = 0;
    until("the child", || {
        let text = std::fs::read_to_string(&children).unwrap();
        child = text.trim().parse().unwrap_or(0);
        child != 0
    });
    // The child first: it must not take what is the parent's.
    let both = tracker.round(&[child, target.pid], false).unwrap();
    assert_eq!(both.processes.len(), 1);
    assert_eq!(pages_in(&both.processes[0], start, 10), all(3));
    assert_eq!(target.answer(), i64::from(child));
}

#[test]
fn a_process_that_waits_for_a_borrower_is_tracked_when_it_is_back() {
    let mut target = Target::start();
    target.tell("vfork 300");
    until("it waits", || target.state() == 'D');
    // Its main thread cannot be stopped before the child is done.
    let mut tracker = track(&target);
    target.answer();
    let start = target.address("map 10");
    target.ask(&format!("fill {start} 10 1"));
    assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 10), all(10));
}

#[test]
fn threads_are_tracked_too() {
    let mut target = Target::start();
    target.ask("threads 4");
    let start = target.address("map 1000");
    target.ask(&format!("fill {start} 1000 1"));
    let mut tracker = track(&target);
    let before = target.ask("work");
    target.ask(&format!("scribble {start} 1000 3 5"));
    until("every page was written", || {
        pages_in(&round(&mut tracker, target.pid), start, 1000).len() == 1000 || {
            std::thread::sleep(Duration::from_millis(100));
            false
        }
    });
    assert!(target.ask("work") > before, "the threads go on");
}

#[test]
fn a_process_may_end_at_any_time() {
    for delay in 0..40_u64 {
        let mut target = Target::start();
        let start = target.address("map 1000");
        target.ask(&format!("fill {start} 1000 1"));
        let pid = target.pid;
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_micros(delay * 50));
            unsafe { libc::kill(pid, libc::SIGKILL) };
        });
        let mut tracker = Tracker::new(Method::WriteProtect);
        for _ in 0..20 {
            let told = tracker.round(&[pid], false).unwrap();
            assert!(told.processes.len() <= 1);
        }
        killer.join().unwrap();
        until("its end", || state(pid) == 'Z');
        assert_eq!(tracker.round(&[pid], false).unwrap().processes.len(), 0);
        drop(target);
        assert_eq!(tracker.round(&[pid], false).unwrap().processes.len(), 0);
    }
}

#[test]
fn a_process_under_a_debugger_is_refused() {
    let target = Target::start();
    let own = unsafe { libc::gettid() };
    assert_eq!(unsafe { libc::ptrace(libc::PTRACE_SEIZE, target.pid, 0, 0) }, 0);
    let error = Tracker::new(Method::WriteProtect)
        .round(&[target.pid], false)
        .unwrap_err();
    assert_eq!(error.reason(), "AlreadyTraced");
    assert!(matches!(error, TrackError::AlreadyTraced { pid, tracer }
        if pid == target.pid && tracer == own));
}

#[test]
fn a_stopped_process_is_tracked_and_stays_stopped() {
    let mut target = Target::start();
    let start = target.address("map 10");
    target.ask(&format!("fill {start} 10 1"));
    target.stop();
    let mut tracker = Tracker::new(Method::WriteProtect);
    assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 10), all(10));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(target.state(), 'T');
    target.tell(&format!("fill {start} 2 2"));
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(target.state(), 'T', "it does nothing");
    target.signal(libc::SIGCONT);
    target.answer();
    assert_eq!(pages_in(&round(&mut tracker, target.pid), start, 10), all(2));
}

#[test]
fn stopping_during_the_injection_stops() {
    let mut target = Target::start();
    for step in 0..120_u32 {
        let pid = target.pid;
        let stopper = std::thread::spawn(move || {
            let spin = std::time::Instant::now();
            while spin.elapsed() < Duration::from_micros(u64::from(step * 10)) {
                std::hint::spin_loop();
            }
            unsafe { libc::kill(pid, libc::SIGSTOP) };
        });
        drop(track(&target));
        stopper.join().unwrap();
        until("it stops", || target.state() == 'T');
        target.signal(libc::SIGCONT);
        target.ask("pid");
    }
}

#[test]
fn a_program_without_its_main_thread_is_refused() {
    let mut target = Target::start();
    target.ask("end_main");
    until("its end", || state(target.pid) == 'Z');
    let error = Tracker::new(Method::WriteProtect)
        .round(&[target.pid], false)
        .unwrap_err();
    assert_eq!(error.reason(), "ZombieLeader");
}

#[test]
fn a_process_that_cannot_be_stopped_is_refused_and_lives() {
    let mut target = Target::start();
    target.tell("vfork 5000");
    until("it waits", || target.state() == 'D');
    let error = Tracker::new(Method::WriteProtect)
        .round(&[target.pid], false)
        .unwrap_err();
    assert!(matches!(
        error,
        TrackError::Injection {
            source: InjectError::NotStopped,
            ..
        }
    ));
    target.answer();
    drop(track(&target));
    target.ask("pid");
}
