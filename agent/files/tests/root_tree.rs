//! Plain trees, and memory maps.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot set up its scene has failed"
)]

mod overlay;
mod snapshot;

use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::ptr;

use godwit_files::{ApplyState, Marks, SharedMapped, Source, Target, apply, write_base, write_delta};
use overlay::{Lab, let_slack_pass};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use snapshot::{assert_same, take};

/// A file mapped shared and writable.
struct Mapped(*mut u8);

impl Mapped {
    fn new(path: &Path) -> Self {
        let file = fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
        // SAFETY: a fresh mapping of one page at an address of the kernel's choice.
        let at = unsafe {
            mmap(
                ptr::null_mut(),
                4096,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &file,
                0,
            )
            .unwrap()
        };
        Self(at.cast())
    }

    fn get(&self) -> u8 {
        // SAFETY: the page is mapped, readable and within the file.
        unsafe { self.0.read_volatile() }
    }

    fn set(&self, byte: u8) {
        // SAFETY: the page is mapped, writable and within the file.
        unsafe { self.0.write_volatile(byte) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nothing refers to it any more.
        unsafe { munmap(self.0.cast(), 4096).unwrap() }
    }
}

/// Two tmpfs mounts.
struct Memory(tempfile::TempDir);

impl Memory {
    fn new() -> Self {
        let tmp = tempfile::Builder::new().prefix("gwt-files-").tempdir().unwrap();
        for name in ["a", "b"] {
            fs::create_dir(tmp.path().join(name)).unwrap();
            mount(
                "tmpfs",
                tmp.path().join(name),
                "tmpfs",
                MountFlags::empty(),
                Some(c"mode=1777"),
            )
            .unwrap();
        }
        Self(tmp)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for name in ["a", "b"] {
            let _ = unmount(self.0.path().join(name), UnmountFlags::DETACH);
        }
    }
}

#[test]
fn maps_of_memory_files_move_no_clock_and_are_not_missed() {
    let memory = Memory::new();
    let (a, b) = (memory.0.path().join("a"), memory.0.path().join("b"));
    for name in ["seg", "seg2", "still"] {
        fs::write(a.join(name), vec![1; 8192]).unwrap();
    }
    fs::hard_link(a.join("seg"), a.join("linked")).unwrap();
    let_slack_pass();
    let source = Source::tree(&a).unwrap();
    let mut state = ApplyState::default();
    let target = Target::open(&b).unwrap();
    let mut stream = Vec::new();
    let base = write_base(&source, &SharedMapped::none(), &mut stream).unwrap();
    apply(&mut Cursor::new(&stream), &target, &mut state).unwrap();
    assert_same(&take(&a, &[]), &take(&b, &[]));

    let before = fs::metadata(a.join("seg")).unwrap();
    for name in ["seg", "seg2"] {
        // Mapped, written and unmapped between the two passes: neither set of maps can show it.
        // Read first: tmpfs then maps the page writable at once, and the write faults no more.
        let map = Mapped::new(&a.join(name));
        assert_eq!(map.get(), 1);
        map.set(9);
    }
    let after = fs::metadata(a.join("seg")).unwrap();
    assert_eq!(
        before.modified().unwrap(),
        after.modified().unwrap(),
        "the clock must stand still, else this proves nothing"
    );
    let mut stream = Vec::new();
    let sent = write_delta(&source, &base, &SharedMapped::none(), &mut stream).unwrap();
    assert_eq!((sent.files, sent.links), (2, 1));
    apply(&mut Cursor::new(&stream), &target, &mut state).unwrap();
    assert_same(&take(&a, &[]), &take(&b, &[]));
}

#[test]
fn maps_of_the_layer_are_found_and_sent_again() {
    let lab = Lab::new("", |root| fs::write(root.join("lower"), vec![1; 4096]).unwrap());
    let root = &lab.source.merged;
    fs::write(root.join("upper"), vec![1; 4096]).unwrap();
    fs::write(root.join("linked"), vec![1; 4096]).unwrap();
    fs::write(root.join("unlinked"), vec![1; 4096]).unwrap();
    fs::hard_link(root.join("unlinked"), root.join("left")).unwrap();
    fs::hard_link(root.join("linked"), root.join("other-name")).unwrap();
    let maps: Vec<_> = ["upper", "linked", "lower", "unlinked"]
        .iter()
        .map(|n| Mapped::new(&root.join(n)))
        .collect();
    // The pages are dirty, so that later writes fault no more and move no clock.
    for map in &maps {
        map.set(2);
    }
    fs::remove_file(root.join("unlinked")).unwrap();
    let_slack_pass();
    let shared = || {
        SharedMapped::collect([std::process::id()])
            .unwrap()
            .under(lab.source_root())
    };
    let source = lab.open(Marks::Trusted);
    let mut state = ApplyState::default();
    let mut stream = Vec::new();
    let base = write_base(&source, &shared(), &mut stream).unwrap();
    lab.apply(&stream, &mut state);
    for map in &maps {
        map.set(3);
    }
    drop(maps);
    // Unmapped before the freeze: only the base pass knows.
    let sent = lab.delta(&source, &base, &shared(), &mut state);
    assert_eq!(sent.files, 4, "upper, lower, linked (two names), left");
    assert_same(&take(root, &[]), &take(&lab.target.merged, &[]));
}
