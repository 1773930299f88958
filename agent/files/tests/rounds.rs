//! Rounds between the base pass and the freeze: little is left for the freeze, and nothing is missed. Needs no root.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot set up its scene has failed"
)]

mod snapshot;

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use godwit_files::{
    ApplyState, BaseManifest, Error, SharedMapped, Source, Stats, Target, apply, write_base, write_delta,
    write_round,
};
use snapshot::{assert_same, take};

const MIB: usize = 1 << 20;

/// Source and target, and what has been sent so far.
struct Move {
    _tmp: tempfile::TempDir,
    from: PathBuf,
    to: PathBuf,
    source: Source,
    state: ApplyState,
}

impl Move {
    fn new(prepare: impl FnOnce(&Path)) -> Self {
        let tmp = tempfile::tempdir().unwrap();
        let (from, to) = (tmp.path().join("from"), tmp.path().join("to"));
        fs::create_dir(&from).unwrap();
        fs::create_dir(&to).unwrap();
        prepare(&from);
        Self {
            source: Source::tree(&from).unwrap(),
            _tmp: tmp,
            from,
            to,
            state: ApplyState::default(),
        }
    }

    fn take_in(&mut self, stream: &[u8]) -> Result<Stats, Error> {
        apply(
            &mut Cursor::new(stream),
            &Target::open(&self.to).unwrap(),
            &mut self.state,
        )
    }

    fn base(&mut self) -> BaseManifest {
        let mut stream = Vec::new();
        let base = write_base(&self.source, &SharedMapped::none(), &mut stream).unwrap();
        self.take_in(&stream).unwrap();
        base
    }

    fn round(&mut self, base: &BaseManifest) -> BaseManifest {
        let mut stream = Vec::new();
        let base = write_round(&self.source, base, &SharedMapped::none(), &mut stream).unwrap();
        self.take_in(&stream).unwrap();
        base
    }

    fn delta(&mut self, base: &BaseManifest) -> Stats {
        let mut stream = Vec::new();
        let stats = write_delta(&self.source, base, &SharedMapped::none(), &mut stream).unwrap();
        self.take_in(&stream).unwrap();
        assert_same(&take(&self.from, &[]), &take(&self.to, &[]));
        stats
    }
}

fn let_slack_pass() {
    std::thread::sleep(godwit_files::CLOCK_SLACK * 2);
}

fn write_at(path: &Path, bytes: &[u8], offset: usize) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, offset as u64).unwrap();
}

#[test]
fn of_a_big_file_only_the_blocks_that_changed_are_sent() {
    let mut it = Move::new(|root| fs::write(root.join("big"), vec![1; 64 * MIB]).unwrap());
    let base = it.base();
    write_at(&it.from.join("big"), b"x", 30 * MIB + 7);
    let sent = it.delta(&base);
    assert_eq!((sent.files, sent.bytes), (1, 64 << 10));
}

#[test]
fn a_big_file_that_grows_shrinks_or_gets_holes_arrives() {
    for (size, offset) in [(70 * MIB, 69 * MIB), (5 * MIB, MIB), (MIB - 5, 0), (0, 0)] {
        let mut it = Move::new(|root| fs::write(root.join("big"), vec![1; 8 * MIB]).unwrap());
        let base = it.base();
        let big = it.from.join("big");
        // Of all that is cut off nothing may come back.
        fs::OpenOptions::new()
            .write(true)
            .open(&big)
            .unwrap()
            .set_len(0)
            .unwrap();
        fs::OpenOptions::new()
            .write(true)
            .open(&big)
            .unwrap()
            .set_len(size as u64)
            .unwrap();
        if size > 0 {
            write_at(&big, b"data", offset);
        }
        it.delta(&base);
    }
}

#[test]
fn a_file_of_the_target_stays_the_same_file() {
    // Something may be mounted from it: a sub-path that names a file.
    let mut it = Move::new(|root| {
        fs::write(root.join("small"), "one").unwrap();
        fs::write(root.join("big"), vec![1; 2 * MIB]).unwrap();
    });
    let base = it.base();
    let number = |it: &Move, name: &str| fs::metadata(it.to.join(name)).unwrap().ino();
    let before = ["small", "big"].map(|name| number(&it, name));
    write_at(&it.from.join("small"), b"two and more", 0);
    write_at(&it.from.join("big"), b"two", MIB);
    let base = it.round(&base);
    fs::write(it.from.join("small"), "3").unwrap();
    it.delta(&base);
    assert_eq!(["small", "big"].map(|name| number(&it, name)), before);
}

#[test]
fn a_file_that_is_another_one_now_takes_no_place_among_the_old_ones_names() {
    let mut it = Move::new(|root| {
        fs::write(root.join("a"), "old").unwrap();
        fs::hard_link(root.join("a"), root.join("b")).unwrap();
    });
    let base = it.base();
    fs::write(it.from.join("new"), "new").unwrap();
    fs::rename(it.from.join("new"), it.from.join("a")).unwrap();
    let base = it.round(&base);
    assert_eq!(fs::read(it.to.join("b")).unwrap(), b"old");
    it.delta(&base);
}

#[test]
fn a_round_leaves_nothing_of_what_it_has_sent() {
    let mut it = Move::new(|root| fs::write(root.join("old"), vec![1; MIB]).unwrap());
    let_slack_pass();
    let base = it.base();
    fs::create_dir(it.from.join("dir")).unwrap();
    fs::write(it.from.join("dir/new"), vec![2; 3 * MIB]).unwrap();
    fs::write(it.from.join("dir/small"), "2").unwrap();
    let_slack_pass();
    let base = it.round(&base);
    assert_eq!(base.stats().files, 2);
    let sent = it.delta(&base);
    assert_eq!((sent.files, sent.entries, sent.scanned), (0, 0, 5));
}

#[test]
fn what_moved_away_and_back_between_rounds_arrives() {
    let mut it = Move::new(|root| {
        fs::create_dir(root.join("a")).unwrap();
        fs::write(root.join("a/c"), "content").unwrap();
    });
    let_slack_pass();
    let base = it.base();
    fs::rename(it.from.join("a"), it.from.join("b")).unwrap();
    fs::write(it.from.join("a"), "a file").unwrap();
    let_slack_pass();
    let base = it.round(&base);
    // The stamps of c are those of the base pass, but the target has none here any more.
    fs::remove_file(it.from.join("a")).unwrap();
    fs::rename(it.from.join("b"), it.from.join("a")).unwrap();
    let_slack_pass();
    it.delta(&base);
}

#[test]
fn a_pass_follows_the_one_it_was_made_after() {
    let mut it = Move::new(|root| fs::write(root.join("f"), vec![1; 2 * MIB]).unwrap());
    let base = it.base();
    let mut early = Vec::new();
    write_delta(&it.source, &base, &SharedMapped::none(), &mut early).unwrap();
    write_at(&it.from.join("f"), b"x", 5);
    let base = it.round(&base);
    // It knows nothing of the block that the round has brought.
    assert!(matches!(it.take_in(&early), Err(Error::DeltaWithoutBase)));
    let mut it = Move::new(|_| {});
    let mut stream = Vec::new();
    let other = Move::new(|_| {});
    write_delta(&other.source, &base, &SharedMapped::none(), &mut stream).unwrap();
    assert!(it.take_in(&stream).is_err());
}

/// Rewrites, moves, links and removes, as fast as it can.
fn churn(root: &Path, stop: &AtomicBool) {
    let mut round = 0_u32;
    let big = fs::OpenOptions::new().write(true).open(root.join("big")).unwrap();
    while !stop.load(Ordering::Relaxed) {
        round = round.wrapping_add(1);
        let _ = big.write_all_at(&round.to_le_bytes(), u64::from(round * 7919 % (3 << 20)));
        let _ = fs::write(root.join(format!("f{}", round % 9)), round.to_string());
        let dir = root.join(format!("d{}", round % 3));
        let other = root.join(format!("d{}", (round + 1) % 3));
        let _ = fs::create_dir(&dir);
        let _ = fs::write(dir.join("x"), round.to_string());
        let _ = fs::hard_link(dir.join("x"), root.join(format!("l{}", round % 5)));
        let _ = fs::rename(&dir, &other);
        let _ = fs::rename(root.join(format!("l{}", round % 5)), other.join("y"));
        let _ = fs::remove_file(root.join(format!("l{}", (round + 2) % 5)));
        let _ = std::os::unix::fs::symlink("x", dir.join("x"));
        if round.is_multiple_of(4) {
            let _ = fs::remove_dir_all(&other);
            let _ = fs::write(&other, "a file where a directory was");
        }
        if round.is_multiple_of(7) {
            let _ = fs::remove_file(&other);
        }
    }
}

#[test]
fn whatever_writes_during_base_and_rounds_nothing_is_missed() {
    for _ in 0..60 {
        let mut it = Move::new(|root| fs::write(root.join("big"), vec![1; 3 * MIB]).unwrap());
        let root = it.from.clone();
        let stop = AtomicBool::new(false);
        let base = std::thread::scope(|scope| {
            let running = scope.spawn(|| churn(&root, &stop));
            let mut base = it.base();
            for _ in 0..3 {
                base = it.round(&base);
            }
            // "Frozen": from here on nothing changes.
            stop.store(true, Ordering::Relaxed);
            running.join().unwrap();
            base
        });
        it.delta(&base);
    }
}
