//! Two overlay mounts over the same lower layer, in a directory that goes away with them.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot set up its scene has failed"
)]
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use godwit_files::{
    ApplyState, BaseManifest, Marks, SharedMapped, Source, Stats, Target, apply, write_base, write_delta,
};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// One container's root.
pub struct Mounted {
    pub upper: PathBuf,
    pub merged: PathBuf,
}

impl Mounted {
    fn new(dir: &Path, lower: &Path, options: &str) -> Self {
        let part = |name: &str| {
            let part = dir.join(name);
            fs::create_dir_all(&part).unwrap();
            part
        };
        let (upper, work, merged) = (part("upper"), part("work"), part("merged"));
        let options = format!(
            "lowerdir={},upperdir={},workdir={}{options}",
            lower.display(),
            upper.display(),
            work.display()
        );
        let options = std::ffi::CString::new(options).unwrap();
        mount(
            "overlay",
            &merged,
            "overlay",
            MountFlags::empty(),
            Some(options.as_c_str()),
        )
        .unwrap();
        Self { upper, merged }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(&self.merged, UnmountFlags::DETACH);
    }
}

/// Source and target over one lower layer.
pub struct Lab {
    options: String,
    pub source: Mounted,
    pub target: Mounted,
    pub tmp: tempfile::TempDir,
}

impl Lab {
    /// `options` begin with a comma; `fill` makes the lower layer.
    pub fn new(options: &str, fill: impl FnOnce(&Path)) -> Self {
        let tmp = tempfile::Builder::new().prefix("gwt-files-").tempdir().unwrap();
        let lower = tmp.path().join("lower");
        fs::create_dir(&lower).unwrap();
        fill(&lower);
        Self {
            options: options.to_owned(),
            source: Mounted::new(&tmp.path().join("source"), &lower, options),
            target: Mounted::new(&tmp.path().join("target"), &lower, options),
            tmp,
        }
    }

    /// Makes the target anew, as the runtime does for each container.
    pub fn renew_target(&mut self) {
        let dir = self.tmp.path().join("target");
        unmount(&self.target.merged, UnmountFlags::empty()).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        let fresh = Mounted::new(&dir, &self.tmp.path().join("lower"), &self.options);
        // Its mount is gone already; dropped, it would take away the new one.
        std::mem::forget(std::mem::replace(&mut self.target, fresh));
    }

    pub fn open(&self, marks: Marks) -> Source {
        Source::overlay(&self.source.upper, Some(&self.source.merged), marks).unwrap()
    }

    pub fn base(&self, source: &Source, state: &mut ApplyState) -> BaseManifest {
        let mut stream = Vec::new();
        let base = write_base(source, &SharedMapped::none(), &mut stream).unwrap();
        self.apply(&stream, state);
        base
    }

    pub fn delta(
        &self,
        source: &Source,
        base: &BaseManifest,
        shared: &SharedMapped,
        state: &mut ApplyState,
    ) -> Stats {
        let mut stream = Vec::new();
        let written = write_delta(source, base, shared, &mut stream).unwrap();
        self.apply(&stream, state);
        written
    }

    pub fn apply(&self, stream: &[u8], state: &mut ApplyState) -> Stats {
        apply(
            &mut Cursor::new(stream),
            &Target::open(&self.target.merged).unwrap(),
            state,
        )
        .unwrap()
    }

    /// The path of the merged root as `/proc/PID/maps` of a process outside the container shows it.
    pub fn source_root(&self) -> &Path {
        &self.source.merged
    }
}

/// Lets the clock's slack pass, so that unchanged files are told by their stamps.
pub fn let_slack_pass() {
    std::thread::sleep(godwit_files::CLOCK_SLACK * 2);
}
