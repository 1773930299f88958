//! Real overlay mounts: everything that can happen in a writable layer arrives.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot set up its scene has failed"
)]

mod overlay;
mod snapshot;

use std::fs::{self, Permissions};
use std::io::Cursor;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use godwit_files::{ApplyState, Marks, SharedMapped, Target, apply, write_base, write_delta};
use overlay::{Lab, let_slack_pass};
use rustix::fs::{CWD, FileType, mknodat};
use snapshot::{assert_same, set_mtime, take};

fn lower(root: &Path) {
    for dir in [
        "etc/conf.d",
        "usr/bin",
        "var/cache/deep/er",
        "opaque/sub",
        "data",
        "empty",
    ] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    for (path, content) in [
        ("etc/passwd", "root"),
        ("etc/conf.d/a", "a"),
        ("etc/conf.d/b", "b"),
        ("usr/bin/tool", "tool"),
        ("var/cache/deep/er/x", "x"),
        ("opaque/old", "old"),
        ("opaque/sub/old", "old"),
        ("data/keep", "keep"),
        ("data/file", "was a file"),
        ("data/gone", "gone"),
    ] {
        fs::write(root.join(path), content).unwrap();
    }
    symlink("keep", root.join("data/link")).unwrap();
    for dir in ["etc", "etc/conf.d", "var/cache", "data", "opaque", ""] {
        set_mtime(&root.join(dir), 1_600_000_000, 123_456_789);
    }
}

/// One of everything, through the merged mount.
fn first_changes(root: &Path) {
    fs::write(root.join("etc/passwd"), "root\nuser").unwrap();
    fs::remove_file(root.join("data/gone")).unwrap();
    fs::remove_dir_all(root.join("opaque")).unwrap();
    fs::create_dir(root.join("opaque")).unwrap();
    fs::write(root.join("opaque/new"), "new").unwrap();
    fs::remove_file(root.join("data/file")).unwrap();
    fs::create_dir(root.join("data/file")).unwrap();
    fs::write(root.join("data/file/now-a-dir"), "").unwrap();
    fs::remove_dir_all(root.join("var/cache")).unwrap();
    fs::write(root.join("var/cache"), "now a file").unwrap();
    fs::remove_file(root.join("data/link")).unwrap();
    symlink("/etc/shadow", root.join("data/link")).unwrap();
    lchown(root.join("data/link"), Some(1), Some(2)).unwrap();
    set_mtime(&root.join("data/link"), 1_111_111_111, 5);

    let dir = root.join("new");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("suid"), "#!").unwrap();
    chown(dir.join("suid"), Some(1000), Some(4_000_000)).unwrap();
    fs::set_permissions(dir.join("suid"), Permissions::from_mode(0o6755)).unwrap();
    fs::write(dir.join("caps"), "caps").unwrap();
    // cap_net_raw+ep, VFS_CAP_REVISION_2 with the effective flag (linux/capability.h).
    let caps = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    xattr::set(dir.join("caps"), "security.capability", &caps).unwrap();
    xattr::set(dir.join("caps"), "user.mine", b"value").unwrap();
    xattr::set(dir.join("caps"), "trusted.mine", &[0, 255, 0]).unwrap();
    xattr::set(dir.join("caps"), "user.overlay.opaque", b"y").unwrap();
    xattr::set(dir.join("caps"), "user.big", &[7; 1500]).unwrap();
    // What a nested overlay would write; kernels before 6.7 refuse it.
    let _ = xattr::set(dir.join("caps"), "trusted.overlay.opaque", b"y");
    fs::create_dir(dir.join("acl")).unwrap();
    fs::write(dir.join("acl/before"), "no inherited ACL").unwrap();
    // A directory that looks opaque to an overlay in user mode, which this one is not.
    xattr::set(root.join("etc/conf.d"), "user.overlay.opaque", b"y").unwrap();
    // user::rwx, user:1000:rw-, group::r-x, mask::rwx, other::r-x (linux/posix_acl_xattr.h).
    let acl: Vec<u8> = [
        (1_u16, 7_u16, u32::MAX),
        (2, 6, 1000),
        (4, 5, u32::MAX),
        (16, 7, u32::MAX),
        (32, 5, u32::MAX),
    ]
    .iter()
    .fold(vec![2, 0, 0, 0], |mut all, (tag, perm, id)| {
        all.extend(tag.to_le_bytes());
        all.extend(perm.to_le_bytes());
        all.extend(id.to_le_bytes());
        all
    });
    xattr::set(dir.join("acl"), "system.posix_acl_default", &acl).unwrap();
    xattr::set(dir.join("acl"), "system.posix_acl_access", &acl).unwrap();
    fs::write(dir.join("acl/after"), "inherited").unwrap();
    xattr::set(dir.join("acl/before"), "system.posix_acl_access", &acl).unwrap();
    fs::create_dir(dir.join("acl/sub")).unwrap();

    let sparse = fs::File::create(dir.join("sparse")).unwrap();
    sparse.write_all_at(&[1; 5000], 0).unwrap();
    sparse.write_all_at(&[2; 5000], 1 << 24).unwrap();
    sparse.set_len(1 << 30).unwrap();
    fs::File::create(dir.join("all-hole"))
        .unwrap()
        .set_len(12345)
        .unwrap();
    fs::write(dir.join("zeros"), vec![0; 100_000]).unwrap();
    fs::write(dir.join("empty"), "").unwrap();
    fs::write(dir.join("n".repeat(255)), "long name").unwrap();
    fs::write(dir.join(snapshot::osstr(b"\xff\x80 \n\\")), "no UTF-8").unwrap();
    fs::write(dir.join("one"), "linked").unwrap();
    fs::hard_link(dir.join("one"), dir.join("two")).unwrap();
    fs::hard_link(dir.join("one"), root.join("etc/three")).unwrap();
    symlink("x", dir.join("sym-one")).unwrap();
    fs::hard_link(dir.join("sym-one"), dir.join("sym-two")).unwrap();
    let node =
        |name: &str, kind, mode: u32, dev| mknodat(CWD, dir.join(name), kind, mode.into(), dev).unwrap();
    node("fifo", FileType::Fifo, 0o620, 0);
    node(
        "null",
        FileType::CharacterDevice,
        0o666,
        rustix::fs::makedev(1, 3),
    );
    node("loop", FileType::BlockDevice, 0o600, rustix::fs::makedev(7, 300));
    drop(UnixListener::bind(dir.join("sock")).unwrap());
    fs::set_permissions(dir.join("sock"), Permissions::from_mode(0o777)).unwrap();
    chown(dir.join("sock"), Some(33), Some(33)).unwrap();
    xattr::set(dir.join("sock"), "trusted.on-a-socket", b"1").unwrap();
    fs::create_dir(dir.join("sticky")).unwrap();
    fs::set_permissions(dir.join("sticky"), Permissions::from_mode(0o3777)).unwrap();
    fs::set_permissions(root.join("empty"), Permissions::from_mode(0o000)).unwrap();
    set_mtime(&dir.join("one"), -5, 999_999_999);
    set_mtime(&dir, 4_000_000_000, 1);
    fs::set_permissions(root, Permissions::from_mode(0o711)).unwrap();
}

/// What may happen between base and delta.
fn second_changes(root: &Path) {
    let dir = root.join("new");
    fs::remove_file(dir.join("two")).unwrap();
    fs::write(dir.join("two"), "no longer linked").unwrap();
    fs::hard_link(root.join("usr/bin/tool"), dir.join("tool")).unwrap();
    fs::remove_file(dir.join("fifo")).unwrap();
    fs::create_dir(dir.join("fifo")).unwrap();
    fs::remove_dir_all(dir.join("acl")).unwrap();
    symlink("sticky", dir.join("acl")).unwrap();
    fs::rename(dir.join("sticky"), dir.join("moved")).unwrap();
    fs::remove_dir_all(root.join("etc/conf.d")).unwrap();
    fs::create_dir(root.join("etc/conf.d")).unwrap();
    fs::write(root.join("etc/conf.d/c"), "c").unwrap();
    fs::remove_dir_all(root.join("opaque")).unwrap();
    fs::remove_dir_all(root.join("data/file")).unwrap();
    fs::write(root.join("data/file"), "a file again").unwrap();
    fs::remove_file(root.join("var/cache")).unwrap();
    fs::create_dir(root.join("var/cache")).unwrap();
    let sparse = fs::OpenOptions::new()
        .write(true)
        .open(dir.join("sparse"))
        .unwrap();
    sparse.set_len(1 << 20).unwrap();
    fs::set_permissions(dir.join("suid"), Permissions::from_mode(0o755)).unwrap();
    xattr::remove(dir.join("caps"), "user.mine").unwrap();
    set_mtime(&dir, 1_234_567_890, 1);
}

#[test]
fn every_kind_of_change_arrives() {
    let lab = Lab::new("", lower);
    let mut state = ApplyState::default();
    let source = lab.open(Marks::Trusted);
    first_changes(&lab.source.merged);
    let base = lab.base(&source, &mut state);
    assert_same(&take(&lab.source.merged, &[]), &take(&lab.target.merged, &[]));
    assert_eq!(base.stats().vanished, 0);

    let_slack_pass();
    second_changes(&lab.source.merged);
    lab.delta(&source, &base, &SharedMapped::none(), &mut state);
    assert_same(&take(&lab.source.merged, &[]), &take(&lab.target.merged, &[]));
}

#[test]
fn a_delta_sends_only_what_changed_and_keeps_the_times_of_directories() {
    let lab = Lab::new("", lower);
    let mut state = ApplyState::default();
    let source = lab.open(Marks::Trusted);
    first_changes(&lab.source.merged);
    let_slack_pass();
    let base = lab.base(&source, &mut state);
    let sent = write_delta(&source, &base, &SharedMapped::none(), &mut Vec::new()).unwrap();
    assert_eq!((sent.entries, sent.bytes, sent.deleted), (0, 0, 0));
    assert_eq!(sent.scanned, base.stats().scanned);
    // Written in place: the directory's own time stays, though at the target the file is made anew.
    fs::write(lab.source.merged.join("new/empty"), "x").unwrap();
    let sent = lab.delta(&source, &base, &SharedMapped::none(), &mut state);
    assert_eq!((sent.entries, sent.files, sent.bytes), (1, 1, 1));
    assert_same(&take(&lab.source.merged, &[]), &take(&lab.target.merged, &[]));
}

#[test]
fn links_stay_links_when_only_their_directory_moves() {
    let lab = Lab::new("", |_| {});
    let mut state = ApplyState::default();
    let source = lab.open(Marks::Trusted);
    let root = &lab.source.merged;
    fs::create_dir_all(root.join("a/z")).unwrap();
    fs::write(root.join("a/z/x"), vec![1; 50_000]).unwrap();
    fs::hard_link(root.join("a/z/x"), root.join("keep")).unwrap();
    let_slack_pass();
    let base = lab.base(&source, &mut state);
    fs::rename(root.join("a/z"), root.join("a/b")).unwrap();
    let sent = lab.delta(&source, &base, &SharedMapped::none(), &mut state);
    assert_eq!(
        (sent.bytes, sent.links),
        (0, 1),
        "the data is at the target already"
    );
    assert_same(&take(root, &[]), &take(&lab.target.merged, &[]));
}

#[test]
fn nothing_is_written_through_a_mount_point() {
    use rustix::mount::{MountPropagationFlags, UnmountFlags, mount_bind, mount_change, unmount};
    let lab = Lab::new("", lower);
    let root = &lab.source.merged;
    fs::write(root.join("etc/hosts"), "").unwrap();
    fs::create_dir_all(root.join("vol/sub")).unwrap();
    fs::write(root.join("vol/sub/f"), "hidden below the volume").unwrap();
    fs::remove_dir_all(root.join("etc/conf.d")).unwrap();
    // etc/conf.d is deleted at the source, and has a mount in it at the target.
    let outside = lab.tmp.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("hosts"), "the node's").unwrap();
    let target = &lab.target.merged;
    fs::create_dir_all(target.join("vol")).unwrap();
    fs::write(target.join("etc/hosts"), "").unwrap();
    let mounts = [("hosts", "etc/hosts"), ("hosts", "etc/conf.d/a"), (".", "vol")];
    for (from, to) in mounts {
        mount_bind(outside.join(from), target.join(to)).unwrap();
        mount_change(target.join(to), MountPropagationFlags::PRIVATE).unwrap();
    }
    let mut state = ApplyState::default();
    let mut stream = Vec::new();
    write_base(&lab.open(Marks::Trusted), &SharedMapped::none(), &mut stream).unwrap();
    let applied = apply(
        &mut Cursor::new(&stream),
        &Target::open(target).unwrap(),
        &mut state,
    );
    let seen = (
        fs::read(outside.join("hosts")).unwrap(),
        fs::read_dir(&outside).unwrap().count(),
    );
    let still = fs::read(target.join("etc/conf.d/a"));
    for (_, to) in mounts {
        unmount(target.join(to), UnmountFlags::DETACH).unwrap();
    }
    assert_eq!(seen, (b"the node's".to_vec(), 1));
    assert_eq!(still.unwrap(), b"the node's");
    assert_eq!(
        applied.unwrap().behind_mounts,
        5,
        "hosts, conf.d, vol, vol/sub, vol/sub/f"
    );
    assert!(
        !target.join("etc/conf.d/b").exists(),
        "what could be deleted beside the mount is gone"
    );
}

#[test]
fn user_marks_are_read_where_the_mount_says_so() {
    let lab = Lab::new(",userxattr", lower);
    let root = &lab.source.merged;
    fs::remove_dir_all(root.join("opaque")).unwrap();
    fs::create_dir(root.join("opaque")).unwrap();
    fs::write(root.join("opaque/new"), "new").unwrap();
    lab.base(&lab.open(Marks::User), &mut ApplyState::default());
    assert_same(&take(root, &[]), &take(&lab.target.merged, &[]));
    assert!(!lab.target.merged.join("opaque/old").exists());
}

#[test]
fn whiteouts_in_the_form_of_attributes_delete() {
    let lab = Lab::new("", lower);
    fs::create_dir(lab.source.upper.join("data")).unwrap();
    fs::write(lab.source.upper.join("data/gone"), "").unwrap();
    xattr::set(
        lab.source.upper.join("data/gone"),
        "trusted.overlay.whiteout",
        b"",
    )
    .unwrap();
    lab.base(&lab.open(Marks::Trusted), &mut ApplyState::default());
    assert!(!lab.target.merged.join("data/gone").exists());
    assert!(lab.target.merged.join("data/keep").exists());
}

#[test]
fn a_full_target_says_so() {
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    let lab = Lab::new("", |_| {});
    fs::write(lab.source.merged.join("big"), vec![1; 3 << 20]).unwrap();
    let small = lab.tmp.path().join("small");
    fs::create_dir(&small).unwrap();
    mount("tmpfs", &small, "tmpfs", MountFlags::empty(), Some(c"size=1m")).unwrap();
    let mut failures = Vec::new();
    // Known by its size, and found out while writing.
    for size in [3 << 20, 1 << 20] {
        fs::write(lab.source.merged.join("big"), vec![1; size]).unwrap();
        fs::write(lab.source.merged.join("more"), vec![1; 500_000]).unwrap();
        let mut stream = Vec::new();
        write_base(&lab.open(Marks::Trusted), &SharedMapped::none(), &mut stream).unwrap();
        let target = Target::open(&small).unwrap();
        failures.push(apply(&mut Cursor::new(&stream), &target, &mut ApplyState::default()).unwrap_err());
    }
    unmount(&small, UnmountFlags::DETACH).unwrap();
    for failure in failures {
        assert_eq!(failure.reason(), "FilesNoSpace", "{failure}");
    }
}

#[test]
fn a_file_that_changes_in_the_freeze_is_an_error() {
    /// Takes a stream, and cuts a file short as soon as some of it has arrived.
    struct Meddler(std::path::PathBuf);
    impl std::io::Write for Meddler {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            fs::OpenOptions::new().write(true).open(&self.0)?.set_len(10)?;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lab = Lab::new("", |_| {});
    let source = lab.open(Marks::Trusted);
    let base = lab.base(&source, &mut ApplyState::default());
    let file = lab.source.merged.join("big");
    fs::write(&file, vec![1; 4 << 20]).unwrap();
    let error = write_delta(&source, &base, &SharedMapped::none(), &mut Meddler(file.clone())).unwrap_err();
    assert_eq!(error.reason(), "FilesChangedWhileFrozen");
    // In the base pass the same is nothing: the delta settles it.
    fs::write(&file, vec![1; 4 << 20]).unwrap();
    assert!(write_base(&source, &SharedMapped::none(), &mut Meddler(file)).is_ok());
}

#[test]
fn a_reader_or_writer_that_fails_is_told_from_a_bad_stream() {
    struct Broken;
    impl std::io::Write for Broken {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    impl std::io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::ConnectionReset.into())
        }
    }
    let lab = Lab::new("", lower);
    let written = write_base(&lab.open(Marks::Trusted), &SharedMapped::none(), &mut Broken).unwrap_err();
    let target = Target::open(&lab.target.merged).unwrap();
    let read = apply(&mut Broken, &target, &mut ApplyState::default()).unwrap_err();
    assert_eq!(
        (written.reason(), read.reason()),
        ("FilesStreamBroken", "FilesStreamBroken")
    );
}
