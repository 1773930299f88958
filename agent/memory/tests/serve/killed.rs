//! kill -9 of the server's processes.

use std::time::{Duration, Instant};

use super::stage::{Server, Stage, kill, lives, wait};

/// Kills one worker after another until the applications have answered.
fn kill_workers(server: &Server, pause: Duration, until: Instant) -> u32 {
    let mut last = 0;
    let mut killed = 0;
    while Instant::now() < until && lives(server.holder()) {
        // Children of the holder: progress is too old to find them fast.
        let children = format!("/proc/{0}/task/{0}/children", server.holder());
        let worker = std::fs::read_to_string(children).unwrap_or_default();
        if let Ok(worker) = worker.trim().parse()
            && worker != last
        {
            std::thread::sleep(pause);
            kill(worker, libc::SIGKILL);
            last = worker;
            killed += 1;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    killed
}

pub fn workers_killed() {
    for seed in 1..5_u64 {
        let mut stage = Stage::new();
        stage.tuning.fill_threads = 0;
        let (mut one, mut two) = (stage.app(1, 8_192), stage.app(2, 4_096));
        let server = stage.restore(&mut [&mut one, &mut two]);
        one.say(&format!("stress {seed} 4000"));
        two.say(&format!("stress {} 4000", seed + 50));
        let killed = kill_workers(
            &server,
            Duration::from_millis(seed * 3),
            Instant::now() + Duration::from_secs(3),
        );
        for app in [&mut one, &mut two] {
            app.hear();
            app.ask("verify");
            app.ask("reap");
        }
        assert!(killed >= 10, "{killed} workers killed");
        one.kill();
        two.kill();
        server.done();
    }
}

pub fn workers_killed_filling() {
    for seed in 1..4_u64 {
        let mut stage = Stage::new();
        stage.tuning.chunk = 4096;
        let mut app = stage.app(1, 16_384);
        let server = stage.restore(&mut [&mut app]);
        app.say(&format!("stress {seed} 200"));
        let killed = kill_workers(
            &server,
            Duration::from_millis(seed * 4),
            Instant::now() + Duration::from_secs(2),
        );
        app.hear();
        let done = server.done();
        assert!(
            killed >= 3 && done.progress.workers > 3,
            "{killed} workers killed"
        );
        app.ask("verify");
        app.ask("reap");
        assert_eq!(stage.stored(), 0);
    }
}

pub fn event_on_its_way() {
    for command in ["move 200 100", "drop 0 500", "anew 1 99", "fork", "touch 7"] {
        let mut stage = Stage::new();
        stage.tuning.fill_threads = 0;
        let mut app = stage.app(1, 1_000);
        let server = stage.restore(&mut [&mut app]);
        let worker = server.worker();
        kill(worker, libc::SIGSTOP);
        app.say(command);
        std::thread::sleep(Duration::from_millis(30));
        kill(worker, libc::SIGKILL);
        app.hear();
        app.ask("verify");
        app.ask("reap");
        assert_ne!(
            wait("a worker", || server.progress().filter(|p| p.worker != worker)).worker,
            0
        );
        app.kill();
        server.done();
    }
}

pub fn holder_killed() {
    let mut stage = Stage::new();
    stage.tuning.chunk = 4096;
    let mut app = stage.app(1, 32_768);
    let server = stage.restore(&mut [&mut app]);
    let worker = server.worker();
    kill(server.holder(), libc::SIGKILL);
    app.ask("stress 3 200");
    let dir = server.dir.clone();
    assert_eq!(server.end().code(), None);
    wait("the worker's end", || (!lives(worker)).then_some(()));
    assert!(dir.join(godwit_memory::serve::DONE).exists());
    app.ask("verify");
    app.ask("reap");
}
