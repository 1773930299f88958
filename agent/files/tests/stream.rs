//! Random trees through the stream: equal when whole; an error, and nothing outside the root, when not. Needs no root.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot set up its scene has failed"
)]

mod snapshot;

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use godwit_files::{
    ApplyState, Error, Limits, SharedMapped, Source, Target, apply, write_base, write_delta, write_round,
};
use proptest::prelude::*;
use snapshot::{assert_same, set_mtime, take};

/// What a test does to a tree.
#[derive(Debug, Clone)]
enum Change {
    Write { path: usize, size: u16, seed: u8 },
    Sparse { path: usize, at: u32 },
    Dir(usize),
    Link { path: usize, to: usize },
    Symlink { path: usize, to: String },
    Fifo(usize),
    Patch { path: usize, at: u32, seed: u8 },
    Cut { path: usize, size: u32 },
    Remove(usize),
    Rename { from: usize, to: usize },
    Mode { path: usize, mode: u32 },
    Times { path: usize, sec: i64, nsec: i64 },
    Xattr { path: usize, value: Vec<u8> },
}

/// A small set of paths, so that changes meet: names at three depths, one not UTF-8, one as long as may be.
fn path(root: &Path, number: usize) -> PathBuf {
    let long = "n".repeat(255);
    let names: [&[u8]; 5] = [b"a", b"b", b"\xff\xfe", long.as_bytes(), b"c d\n"];
    let mut path = root.to_path_buf();
    let mut rest = number % 155;
    loop {
        path.push(snapshot::osstr(names[rest % 5]));
        if rest < 5 {
            return path;
        }
        rest = rest / 5 - 1;
    }
}

fn change() -> impl Strategy<Value = Change> {
    let p = || 0..155_usize;
    prop_oneof![
        4 => (p(), any::<u16>(), any::<u8>()).prop_map(|(path, size, seed)| Change::Write { path, size, seed }),
        1 => (p(), 0..3_000_000_u32).prop_map(|(path, at)| Change::Sparse { path, at }),
        4 => p().prop_map(Change::Dir),
        3 => (p(), 0..4_000_000_u32, any::<u8>()).prop_map(|(path, at, seed)| Change::Patch { path, at, seed }),
        1 => (p(), 0..4_000_000_u32).prop_map(|(path, size)| Change::Cut { path, size }),
        3 => (p(), p()).prop_map(|(path, to)| Change::Link { path, to }),
        1 => (p(), "[a-z/.]{1,20}").prop_map(|(path, to)| Change::Symlink { path, to }),
        1 => p().prop_map(Change::Fifo),
        2 => p().prop_map(Change::Remove),
        3 => (p(), p()).prop_map(|(from, to)| Change::Rename { from, to }),
        1 => (p(), 0..0o1000_u32).prop_map(|(path, mode)| Change::Mode { path, mode: mode | 0o700 }),
        1 => (p(), -1_000_000..4_000_000_000_i64, 0..1_000_000_000_i64)
            .prop_map(|(path, sec, nsec)| Change::Times { path, sec, nsec }),
        1 => (p(), proptest::collection::vec(any::<u8>(), 0..400)).prop_map(|(path, value)| Change::Xattr { path, value }),
    ]
}

/// Does it, if it can be done.
fn perform(root: &Path, change: &Change) {
    let at = |number: &usize| path(root, *number);
    let exists = |p: &Path| p.symlink_metadata().is_ok();
    let _: std::io::Result<()> = match change {
        Change::Write { path, size, seed } => {
            let path = at(path);
            if path.symlink_metadata().is_ok_and(|m| !m.is_file()) {
                Ok(())
            } else {
                fs::write(path, vec![*seed; usize::from(*size)])
            }
        }
        Change::Sparse { path, at: offset } => {
            let path = at(path);
            if exists(&path) {
                Ok(())
            } else {
                fs::File::create(path).and_then(|f| f.write_all_at(b"end", u64::from(*offset)))
            }
        }
        Change::Patch {
            path,
            at: offset,
            seed,
        } => {
            let path = at(path);
            if path.symlink_metadata().is_ok_and(|m| m.is_file()) {
                let file = fs::OpenOptions::new().write(true).open(path);
                file.and_then(|f| f.write_all_at(&vec![*seed; 70_000], u64::from(*offset)))
            } else {
                Ok(())
            }
        }
        Change::Cut { path, size } => {
            let path = at(path);
            if path.symlink_metadata().is_ok_and(|m| m.is_file()) {
                let file = fs::OpenOptions::new().write(true).open(path);
                file.and_then(|f| f.set_len(u64::from(*size)))
            } else {
                Ok(())
            }
        }
        Change::Dir(path) => fs::create_dir(at(path)),
        Change::Link { path, to } => fs::hard_link(at(to), at(path)),
        Change::Symlink { path, to } => symlink(to, at(path)),
        Change::Fifo(path) => rustix::fs::mknodat(
            rustix::fs::CWD,
            at(path),
            rustix::fs::FileType::Fifo,
            0o640.into(),
            0,
        )
        .map_err(Into::into),
        Change::Remove(path) => {
            let path = at(path);
            if path.symlink_metadata().is_ok_and(|m| m.is_dir()) {
                fs::remove_dir_all(path)
            } else {
                fs::remove_file(path)
            }
        }
        Change::Rename { from, to } => fs::rename(at(from), at(to)),
        Change::Mode { path, mode } => {
            let path = at(path);
            if path.is_symlink() {
                Ok(())
            } else {
                fs::set_permissions(path, fs::Permissions::from_mode(*mode))
            }
        }
        Change::Times { path, sec, nsec } => {
            let path = at(path);
            if exists(&path) {
                set_mtime(&path, *sec, *nsec);
            }
            Ok(())
        }
        Change::Xattr { path, value } => {
            let path = at(path);
            if path.is_symlink() {
                Ok(())
            } else {
                xattr::set(path, "user.test", value)
            }
        }
    };
}

fn perform_all(root: &Path, changes: &[Change]) {
    for change in changes {
        perform(root, change);
    }
}

fn base_of(source: &Path) -> Vec<u8> {
    let mut stream = Vec::new();
    write_base(&Source::tree(source).unwrap(), &SharedMapped::none(), &mut stream).unwrap();
    stream
}

struct Place {
    _tmp: tempfile::TempDir,
    source: PathBuf,
    target: PathBuf,
}

/// Source and target side by side, with a file beside them that nothing may touch.
fn place() -> Place {
    let tmp = tempfile::tempdir().unwrap();
    let (source, target) = (tmp.path().join("source"), tmp.path().join("outer/target"));
    fs::create_dir_all(&source).unwrap();
    fs::create_dir_all(&target).unwrap();
    fs::write(tmp.path().join("outer/outside"), "untouched").unwrap();
    Place {
        _tmp: tmp,
        source,
        target,
    }
}

fn apply_to(target: &Path, state: &mut ApplyState, stream: &[u8]) -> Result<godwit_files::Stats, Error> {
    apply(&mut Cursor::new(stream), &Target::open(target).unwrap(), state)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn trees_arrive_as_they_are(
        first in proptest::collection::vec(change(), 0..60),
        second in proptest::collection::vec(change(), 0..40),
        third in proptest::collection::vec(change(), 0..10),
        rounds in 0..3_usize,
    ) {
        let place = place();
        let mut state = ApplyState::default();
        perform_all(&place.source, &first);
        let source = Source::tree(&place.source).unwrap();
        let mut stream = Vec::new();
        let base = write_base(&source, &SharedMapped::none(), &mut stream).unwrap();
        apply_to(&place.target, &mut state, &stream).unwrap();
        assert_same(&take(&place.source, &[]), &take(&place.target, &[]));

        // Two thirds of the cases let the clock's slack pass, so that unchanged files are told by their stamps.
        if !second.len().is_multiple_of(3) {
            std::thread::sleep(godwit_files::CLOCK_SLACK * 2);
        }
        perform_all(&place.source, &second);
        // Made, but never sent: it leaves no trace.
        write_delta(&source, &base, &SharedMapped::none(), &mut Vec::new()).unwrap();
        let mut base = base;
        for _ in 0..rounds {
            let mut stream = Vec::new();
            base = write_round(&source, &base, &SharedMapped::none(), &mut stream).unwrap();
            apply_to(&place.target, &mut state, &stream).unwrap();
            assert_same(&take(&place.source, &[]), &take(&place.target, &[]));
        }
        perform_all(&place.source, &third);
        let mut stream = Vec::new();
        write_delta(&source, &base, &SharedMapped::none(), &mut stream).unwrap();
        apply_to(&place.target, &mut state, &stream).unwrap();
        assert_same(&take(&place.source, &[]), &take(&place.target, &[]));
    }

    #[test]
    fn no_damaged_stream_is_taken(
        changes in proptest::collection::vec(change(), 1..25),
        places in proptest::collection::vec((any::<prop::sample::Index>(), 0..8_u32), 24),
    ) {
        let place = place();
        perform_all(&place.source, &changes);
        let stream = base_of(&place.source);
        let outer = place.target.parent().unwrap();
        let others = take(outer, &["target", ""]);
        for (index, bit) in places {
            let at = index.index(stream.len());
            let cut = apply_to(&place.target, &mut ApplyState::default(), &stream[..at]).unwrap_err();
            prop_assert!(matches!(cut, Error::Truncated), "cut at {at}: {cut}");
            let mut flipped = stream.clone();
            flipped[at] ^= 1 << bit;
            prop_assert!(apply_to(&place.target, &mut ApplyState::default(), &flipped).is_err(), "bit {bit} of {at}");
        }
        assert_same(&others, &take(outer, &["target", ""]));
        prop_assert_eq!(fs::read(outer.join("outside")).unwrap(), b"untouched");
    }

    #[test]
    fn noise_is_refused(mut noise in proptest::collection::vec(any::<u8>(), 0..200), lead in 0..3_usize) {
        let place = place();
        let good = base_of(&place.source);
        let mut stream = good[..[0, 10, good.len() - 40][lead]].to_vec();
        stream.append(&mut noise);
        prop_assume!(stream != good);
        prop_assert!(apply_to(&place.target, &mut ApplyState::default(), &stream).is_err());
    }
}

#[test]
fn every_truncation_and_every_flip_of_a_small_stream_is_an_error() {
    let place = place();
    fs::write(place.source.join("f"), "content").unwrap();
    symlink("../outside", place.source.join("l")).unwrap();
    fs::hard_link(place.source.join("f"), place.source.join("g")).unwrap();
    let stream = base_of(&place.source);
    for at in 0..stream.len() {
        let cut = apply_to(&place.target, &mut ApplyState::default(), &stream[..at]).unwrap_err();
        assert_eq!(cut.reason(), "FilesStreamTruncated", "at {at}");
        for bit in 0..8 {
            let mut flipped = stream.clone();
            flipped[at] ^= 1 << bit;
            assert!(
                apply_to(&place.target, &mut ApplyState::default(), &flipped).is_err(),
                "bit {bit} of {at}"
            );
        }
    }
    assert_eq!(
        fs::read(place.target.parent().unwrap().join("outside")).unwrap(),
        b"untouched"
    );
    assert_eq!(fs::read_dir(place.target.parent().unwrap()).unwrap().count(), 2);
}

#[test]
fn a_delta_needs_its_base() {
    let place = place();
    let source = Source::tree(&place.source).unwrap();
    let base = write_base(&source, &SharedMapped::none(), &mut Vec::new()).unwrap();
    let mut delta = Vec::new();
    write_delta(&source, &base, &SharedMapped::none(), &mut delta).unwrap();
    let mut state = ApplyState::default();
    assert!(matches!(
        apply_to(&place.target, &mut state, &delta),
        Err(Error::DeltaWithoutBase)
    ));
    fs::write(place.source.join("f"), "x").unwrap();
    apply_to(&place.target, &mut state, &base_of(&place.source)).unwrap();
    assert!(matches!(
        apply_to(&place.target, &mut state, &delta),
        Err(Error::DeltaWithoutBase)
    ));
}

#[test]
fn limits_are_kept() {
    let place = place();
    for n in 0..5 {
        fs::write(place.source.join(n.to_string()), "12345678").unwrap();
    }
    let stream = base_of(&place.source);
    let with = |entries, bytes| {
        apply_to(
            &place.target,
            &mut ApplyState::new(Limits { entries, bytes }),
            &stream,
        )
    };
    assert_eq!(with(5, 1000).unwrap_err().reason(), "FilesLimitExceeded");
    assert_eq!(with(6, 39).unwrap_err().reason(), "FilesLimitExceeded");
    let stats = with(6, 40).unwrap();
    assert_eq!((stats.entries, stats.files, stats.bytes), (6, 5, 40));
}

#[test]
fn a_symbolic_link_at_the_target_leads_nowhere() {
    let place = place();
    let outer = place.target.parent().unwrap().to_path_buf();
    fs::create_dir(outer.join("dir")).unwrap();
    fs::create_dir(place.source.join("d")).unwrap();
    fs::write(place.source.join("d/f"), "evil").unwrap();
    fs::write(place.source.join("outside"), "evil").unwrap();
    // The target's own tree has links where the source has a directory and a file: they are replaced, not followed.
    symlink("../dir", place.target.join("d")).unwrap();
    symlink("../outside", place.target.join("outside")).unwrap();
    apply_to(&place.target, &mut ApplyState::default(), &base_of(&place.source)).unwrap();
    assert_same(&take(&place.source, &[]), &take(&place.target, &[]));
    assert_eq!(fs::read_dir(outer.join("dir")).unwrap().count(), 0);
    assert_eq!(fs::read(outer.join("outside")).unwrap(), b"untouched");
}

#[test]
fn trees_deeper_than_any_path_arrive() {
    let place = place();
    let name = "d".repeat(200);
    let deep = |root: &Path, make: bool| {
        let mut dir: std::os::fd::OwnedFd = fs::File::open(root).unwrap().into();
        for _ in 0..60 {
            if make {
                rustix::fs::mkdirat(&dir, &name, 0o755.into()).unwrap();
            }
            dir = rustix::fs::openat(&dir, &name, rustix::fs::OFlags::DIRECTORY, 0.into()).unwrap();
        }
        dir
    };
    let dir = deep(&place.source, true);
    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    let file: fs::File = rustix::fs::openat(&dir, "f", flags, 0o644.into()).unwrap().into();
    file.write_all_at(b"deep", 0).unwrap();
    drop(file);
    let mut state = ApplyState::default();
    let source = Source::tree(&place.source).unwrap();
    let mut stream = Vec::new();
    let base = write_base(&source, &SharedMapped::none(), &mut stream).unwrap();
    apply_to(&place.target, &mut state, &stream).unwrap();
    assert_same(&take(&place.source, &[]), &take(&place.target, &[]));
    // And go again.
    let top = place.source.join(&name);
    rustix::fs::renameat(
        rustix::fs::CWD,
        top.join(&name),
        rustix::fs::CWD,
        place.source.join("moved"),
    )
    .unwrap();
    let mut stream = Vec::new();
    write_delta(&source, &base, &SharedMapped::none(), &mut stream).unwrap();
    apply_to(&place.target, &mut state, &stream).unwrap();
    assert_same(&take(&place.source, &[]), &take(&place.target, &[]));
}

#[test]
fn what_is_excluded_stays_behind() {
    let place = place();
    fs::create_dir_all(place.source.join("etc/conf")).unwrap();
    fs::write(place.source.join("etc/hosts"), "").unwrap();
    fs::write(place.source.join("etc/conf/x"), "x").unwrap();
    fs::create_dir(place.target.join("etc")).unwrap();
    fs::write(place.target.join("etc/hosts"), "the target's own").unwrap();
    let source = Source::tree(&place.source)
        .unwrap()
        .exclude(["/etc/hosts", "etc/conf/"]);
    let mut stream = Vec::new();
    write_base(&source, &SharedMapped::none(), &mut stream).unwrap();
    apply_to(&place.target, &mut ApplyState::default(), &stream).unwrap();
    assert_eq!(
        fs::read(place.target.join("etc/hosts")).unwrap(),
        b"the target's own"
    );
    assert!(!place.target.join("etc/conf").exists());
}

#[test]
fn a_mapped_file_is_always_sent_again() {
    let place = place();
    for name in ["a", "b"] {
        fs::write(place.source.join(name), name).unwrap();
    }
    fs::hard_link(place.source.join("b"), place.source.join("c")).unwrap();
    std::thread::sleep(godwit_files::CLOCK_SLACK * 2);
    let source = Source::tree(&place.source).unwrap();
    let files = |at_base: &SharedMapped, at_delta: &SharedMapped| {
        let base = write_base(&source, at_base, &mut Vec::new()).unwrap();
        write_delta(&source, &base, at_delta, &mut Vec::new())
            .unwrap()
            .files
    };
    let mut mapped = SharedMapped::none();
    assert_eq!(files(&mapped, &mapped), 0);
    mapped.add(b"/c");
    assert_eq!(files(&SharedMapped::none(), &mapped), 1);
    assert_eq!(files(&mapped, &SharedMapped::none()), 1);
}

#[test]
fn a_file_written_during_the_base_pass_is_sent_again_whatever_its_stamps() {
    /// Writes a file anew when the first bytes arrive, which is after the pass began and before it reads that file.
    struct Meddler(PathBuf, bool);
    impl std::io::Write for Meddler {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if !std::mem::replace(&mut self.1, true) {
                fs::write(&self.0, "new")?;
            }
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let place = place();
    fs::write(place.source.join("a"), vec![1; 4 << 20]).unwrap();
    fs::write(place.source.join("b"), "old").unwrap();
    std::thread::sleep(godwit_files::CLOCK_SLACK * 2);
    let source = Source::tree(&place.source).unwrap();
    let mut meddler = Meddler(place.source.join("b"), false);
    let base = write_base(&source, &SharedMapped::none(), &mut meddler).unwrap();
    // The base pass holds the new content; with a coarse clock a later write may bear the same stamps.
    let stats = write_delta(&source, &base, &SharedMapped::none(), &mut Vec::new()).unwrap();
    assert_eq!((stats.files, stats.bytes), (1, 3));
}
