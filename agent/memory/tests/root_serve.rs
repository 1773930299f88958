//! The page server against real processes whose memory is registered as CRIU's restorer does it, with this program as CRIU.
//!
//! Needs root (userfaultfd with events) and a tmpfs at /dev/shm. `root_serve [PART OF A NAME]` runs the cases with such names.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test without the usual harness, because it plays the application too"
)]

#[path = "serve/app.rs"]
mod app;
#[path = "serve/freezing.rs"]
mod freezing;
#[path = "serve/killed.rs"]
mod killed;
#[path = "serve/layout.rs"]
mod layout;
#[path = "serve/places.rs"]
mod places;
#[path = "serve/stage.rs"]
mod stage;

use std::time::{Duration, Instant};

use stage::{Stage, lives, wait};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|word| word == "app") {
        app::main(arguments[1].parse().unwrap(), arguments[2].parse().unwrap());
        return;
    }
    let part = arguments.iter().find(|word| !word.starts_with('-'));
    let begun = Instant::now();
    // Whatever hangs ends this, and with it the applications and then the servers.
    // SAFETY: a plain system call.
    unsafe { libc::alarm(400) };
    let mut passed = 0;
    for (name, case) in CASES {
        if part.is_none_or(|part| name.contains(part.as_str())) {
            println!("serve: {name} (at {} s)", begun.elapsed().as_secs());
            case();
            passed += 1;
        }
    }
    println!("test result: ok. {passed} passed; 0 failed");
}

type Case = (&'static str, fn());
const CASES: [Case; 22] = [
    ("all pages of two processes arrive", all_pages_arrive),
    ("touches alone bring the right pages", touches_alone),
    ("registered late", registered_late),
    ("events before anything is filled", events_first),
    ("a child has what its parent had", fork_first),
    ("events during the fill", events_during_the_fill),
    ("workers killed during touches and events", killed::workers_killed),
    ("workers killed during the fill", killed::workers_killed_filling),
    (
        "an event is on its way when the worker is killed",
        killed::event_on_its_way,
    ),
    ("the holder is killed", killed::holder_killed),
    ("a process ends during the fill", process_ends),
    ("a frozen process is filled", freezing::frozen),
    ("the connection is lost", connection_lost),
    ("garbage on the connection", garbage),
    ("unusable images hold the process", unusable_images),
    (
        "memory left unregistered is registered",
        places::left_unregistered,
    ),
    ("memory that was touched too early", places::touched_too_early),
    ("memory that is not there", places::not_there),
    ("more unregistered memory than can be mended", places::too_much),
    ("workers killed while they mend", places::killed_mending),
    ("nobody connects", nobody_connects),
    ("the restore is never finished", never_finished),
];

fn all_pages_arrive() {
    let mut stage = Stage::new();
    let (mut one, mut two) = (stage.app(1, 16_384), stage.app(27, 3_000));
    let mut server = stage.connect();
    for app in [&mut one, &mut two] {
        server.hand_over(app);
        app.ask("register");
        server.send(-9);
    }
    server.finish();
    // The background alone does it: the applications have touched nothing yet.
    let done = server.done();
    assert_eq!(done.progress.workers, 1);
    assert!(done.progress.bytes_total > 12_000 * 4096);
    assert_eq!(stage.stored(), 0, "copied pages are given back");
    for app in [&mut one, &mut two] {
        app.ask("verify");
    }
}

fn touches_alone() {
    let mut stage = Stage::new();
    stage.tuning.fill_threads = 0;
    let (mut one, mut two) = (stage.app(1, 4_000), stage.app(2, 1_000));
    let server = stage.restore(&mut [&mut one, &mut two]);
    one.say("verify");
    two.ask("verify");
    one.hear();
    let progress = wait("its touches", || {
        server.progress().filter(|progress| progress.faults > 0)
    });
    assert!(progress.zero_faults > 0);
    // Nothing ends while pages are due that nobody has touched …
    assert!(progress.spaces == 2 && lives(server.holder()));
    one.kill();
    two.kill();
    // … but without processes no page is.
    server.done();
}

fn registered_late() {
    let mut stage = Stage::new();
    let (mut one, mut two) = (stage.app(1, 2_000), stage.app(2, 2_000));
    let mut server = stage.connect();
    for app in [&mut one, &mut two] {
        server.hand_over(app);
    }
    wait("a worker", || server.progress());
    two.ask("register");
    two.ask("verify");
    one.ask("register");
    server.finish();
    server.done();
    one.ask("verify");
}

fn events_first() {
    let mut stage = Stage::new();
    stage.tuning.fill_threads = 0;
    let mut app = stage.app(1, 2_000);
    let server = stage.restore(&mut [&mut app]);
    for command in [
        "drop 10 20",
        "anew 40 30",
        "unmap 100 7",
        "move 200 100",
        "move 500 300",
        "anew 1500 200",
        "drop 1900 100",
        "fork",
        "drop 300 100",
        "fork",
        "verify",
        "reap",
        "verify",
    ] {
        app.ask(command);
    }
    app.kill();
    server.done();
}

fn fork_first() {
    let mut stage = Stage::new();
    stage.tuning.chunk = 4096;
    let mut app = stage.app(1, 20_000);
    let server = stage.restore(&mut [&mut app]);
    for _ in 0..10 {
        app.ask("fork");
    }
    app.ask("verify");
    app.ask("reap");
    server.done();
    app.ask("verify");
    assert_eq!(stage.stored(), 0);
}

fn events_during_the_fill() {
    for seed in 1..4 {
        let mut stage = Stage::new();
        stage.tuning.chunk = 4096 * (seed % 3 * 8 + 1);
        let (mut one, mut two) = (stage.app(1, 16_384), stage.app(2, 8_192));
        let server = stage.restore(&mut [&mut one, &mut two]);
        one.say(&format!("stress {seed} 1000"));
        two.ask(&format!("stress {} 1000", seed + 100));
        one.hear();
        for app in [&mut one, &mut two] {
            app.ask("verify");
            app.ask("reap");
        }
        server.done();
        for app in [&mut one, &mut two] {
            app.ask("verify");
        }
    }
}

fn process_ends() {
    let mut stage = Stage::new();
    stage.tuning.chunk = 4096;
    let (mut one, mut two) = (stage.app(1, 60_000), stage.app(2, 4_000));
    let server = stage.restore(&mut [&mut one, &mut two]);
    one.ask("fork");
    one.kill();
    two.ask("verify");
    server.done();
    assert_eq!(stage.stored(), 0);
}

fn connection_lost() {
    let mut stage = Stage::new();
    stage.tuning.fill_threads = 0;
    let mut app = stage.app(1, 1_000);
    let mut server = stage.connect();
    server.hand_over(&mut app);
    app.ask("register");
    server.connection = None;
    assert_eq!(server.failed().reason, "RestoreConnectionLost");
    // Whoever lives is served all the same.
    app.ask("verify");
    app.kill();
    assert_eq!(server.end().code(), Some(3));
}

fn garbage() {
    let null: std::os::fd::OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    let cases: [fn(&mut stage::Server, &std::os::fd::OwnedFd); 5] = [
        |server, _| server.send(0),
        |server, _| server.send(0x7777),
        |server, null| {
            server.send(1);
            server.send_descriptor(null);
        },
        |server, _| {
            server.send(1);
            server.send(1);
        },
        |server, null| server.send_descriptor(null),
    ];
    for case in cases {
        let mut stage = Stage::new();
        let mut app = stage.app(1, 1_000);
        let mut server = stage.connect();
        case(&mut server, &null);
        server.connection = None;
        let reason = server.failed().reason;
        assert!(
            ["RestoreProtocolViolation", "RestoreConnectionLost"].contains(&reason.as_str()),
            "{reason}"
        );
        app.ask("register");
        app.kill();
        assert_eq!(server.end().code(), Some(3));
    }
}

fn unusable_images() {
    for file in ["mm-1.img", "pagemap-1.img"] {
        let mut stage = Stage::new();
        let mut app = stage.app(1, 1_000);
        let mut server = stage.connect();
        std::fs::write(stage.dir.path().join("images").join(file), b"nonsense").unwrap();
        app.ask("register");
        server.hand_over(&mut app);
        assert_eq!(server.failed().reason, "ImageMalformed");
        // The process must not go on with zeros: its touch waits until it is killed.
        app.say("touch 0");
        std::thread::sleep(Duration::from_millis(300));
        assert!(app.child.try_wait().unwrap().is_none() && lives(server.holder()));
        app.kill();
        assert_eq!(server.end().code(), Some(3));
    }
}

fn nobody_connects() {
    let mut stage = Stage::new();
    stage.deadline = Duration::from_millis(200);
    drop(stage.app(1, 10));
    let server = stage.serve();
    assert_eq!(server.failed().reason, "RestoreNeverConnected");
    assert_eq!(server.end().code(), Some(1));
    assert!(!stage.dir.path().join("lazy-pages.socket").exists());
}

fn never_finished() {
    let mut stage = Stage::new();
    stage.deadline = Duration::from_millis(700);
    let mut app = stage.app(1, 1_000);
    let mut server = stage.connect();
    server.hand_over(&mut app);
    app.ask("register");
    assert_eq!(server.failed().reason, "RestoreTooLate");
    app.ask("verify");
    assert_eq!(server.end().code(), Some(3));
}
