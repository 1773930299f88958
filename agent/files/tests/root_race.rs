//! Writers that race the base pass: whatever they did is at the target after the delta.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot set up its scene has failed"
)]

mod overlay;
mod snapshot;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use godwit_files::{ApplyState, Marks, SharedMapped};
use overlay::Lab;
use snapshot::{assert_same, take};

const ITERATIONS: u32 = 200;

/// Rewrites small files at the same size, as fast as it can, until told to stop.
fn rewrite(root: &Path, stop: &AtomicBool) {
    let mut round = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        for n in 0..20 {
            round = round.wrapping_add(1);
            let file = fs::OpenOptions::new()
                .write(true)
                .open(root.join(format!("f{n}")))
                .unwrap();
            file.write_all_at(&round.to_le_bytes(), 0).unwrap();
        }
    }
}

/// Makes, moves, links and removes.
fn churn(root: &Path, stop: &AtomicBool) {
    let mut round = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        let dir = root.join(format!("d{}", round % 3));
        let other = root.join(format!("d{}", (round + 1) % 3));
        let _ = fs::create_dir(&dir);
        let _ = fs::write(dir.join("x"), round.to_string());
        let _ = fs::hard_link(dir.join("x"), root.join(format!("l{}", round % 5)));
        let _ = fs::rename(&dir, &other);
        let _ = fs::remove_file(root.join(format!("l{}", (round + 2) % 5)));
        let _ = std::os::unix::fs::symlink("x", dir.join("x"));
        if round.is_multiple_of(4) {
            let _ = fs::remove_dir_all(&other);
        }
    }
}

fn race(writer: fn(&Path, &AtomicBool)) {
    let mut lab = Lab::new("", |root| {
        for n in 0..20 {
            fs::write(root.join(format!("f{n}")), "0000").unwrap();
        }
    });
    let root = &lab.source.merged.clone();
    let source = lab.open(Marks::Trusted);
    for _ in 0..ITERATIONS {
        lab.renew_target();
        let mut state = ApplyState::default();
        let stop = AtomicBool::new(false);
        let base = std::thread::scope(|scope| {
            let running = scope.spawn(|| writer(root, &stop));
            let base = lab.base(&source, &mut state);
            // "Frozen": from here on nothing changes.
            stop.store(true, Ordering::Relaxed);
            running.join().unwrap();
            base
        });
        lab.delta(&source, &base, &SharedMapped::none(), &mut state);
        assert_same(&take(root, &[]), &take(&lab.target.merged, &[]));
    }
}

#[test]
fn writes_in_the_tick_of_the_base_pass_are_not_missed() {
    race(rewrite);
}

#[test]
fn names_that_move_during_the_base_pass_are_settled() {
    race(churn);
}
