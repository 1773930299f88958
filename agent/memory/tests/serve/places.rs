//! Pages whose memory is not registered when the restore is finished.

use std::time::Duration;

use godwit_memory::serve::{CHECKED, Checked, read};

use super::stage::{App, Server, Stage, kill, lives, wait};

/// A finished restore of a process that was left as `command` leaves it.
fn finished(stage: &Stage, app: &mut App, command: &str) -> Server {
    let mut server = stage.connect();
    server.hand_over(app);
    app.ask(command);
    server.finish();
    server
}

fn checked(server: &Server) -> Checked {
    wait("the check", || read(&server.dir, CHECKED).unwrap())
}

pub fn left_unregistered() {
    for command in ["register-first", "register-second"] {
        for fill_threads in [0, 1] {
            let mut stage = Stage::new();
            stage.tuning.fill_threads = fill_threads;
            let mut app = stage.app(1, 3_000);
            let server = finished(&stage, &mut app, command);
            let checked = checked(&server);
            assert_eq!((checked.mappings, checked.mended), (2, 1), "{command}");
            app.ask("verify");
            if fill_threads == 0 {
                // It was registered: there are events.
                for command in [
                    "move 10 100",
                    "move 2000 100",
                    "drop 1500 100",
                    "fork",
                    "verify",
                    "reap",
                ] {
                    app.ask(command);
                }
                app.kill();
            }
            server.done();
        }
    }
}

pub fn touched_too_early() {
    let mut stage = Stage::new();
    let mut app = stage.app(1, 3_000);
    let mut server = stage.connect();
    server.hand_over(&mut app);
    app.ask("register-first");
    app.ask("peek 2049");
    server.finish();
    let failed = server.failed();
    assert_eq!(failed.reason, "PagesUnplaced", "{}", failed.message);
    assert!(failed.message.contains("0x1000801000"), "{}", failed.message);
    refused(server, app);
}

pub fn not_there() {
    let mut stage = Stage::new();
    let mut app = stage.app(1, 3_000);
    // All of the second mapping.
    app.ask("unmap 1000 2000");
    let server = finished(&stage, &mut app, "register-first");
    assert_eq!(server.failed().reason, "PagesUnplaced");
    refused(server, app);
}

/// Of pages that are not registered it can be told only by filling them whether they are still untouched: that must not become a long freeze.
pub fn too_much() {
    let mut stage = Stage::new();
    let mut app = stage.app(1, 150_000);
    let server = finished(&stage, &mut app, "register-first");
    assert_eq!(server.failed().reason, "PagesUnplaced");
    refused(server, app);
}

fn refused(server: Server, app: App) {
    assert!(!server.dir.join(CHECKED).exists());
    app.kill();
    assert_eq!(server.end().code(), Some(3));
}

/// Whatever comes of it, it is not taken for right when it is not.
pub fn killed_mending() {
    let mut refusals = 0;
    for round in 0..20_u64 {
        let mut stage = Stage::new();
        let mut app = stage.app(1, 30_000);
        let server = finished(&stage, &mut app, "register-first");
        let worker = server.worker();
        std::thread::sleep(Duration::from_millis(round * 3));
        kill(worker, libc::SIGKILL);
        let dir = server.dir.clone();
        let good = wait("a verdict", || {
            let refused = dir.join(godwit_memory::serve::FAILED).exists();
            (refused || dir.join(CHECKED).exists()).then_some(!refused)
        });
        if good {
            app.ask("verify");
            server.done();
        } else {
            refusals += 1;
            assert_eq!(server.failed().reason, "PagesUnplaced");
            app.kill();
            assert_eq!(server.end().code(), Some(3));
        }
        assert!(!lives(worker));
    }
    println!("serve: {refusals} of 20 refused");
}
