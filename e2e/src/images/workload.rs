//! The tests' own programs with a shell: an image for whatever a pod of a test is to do.

use std::path::PathBuf;

use anyhow::Result;

use super::layer::{self, Entry};
use super::{base, oci, programs};
use crate::recipes;

/// The image's name.
pub const IMAGE: &str = "localhost/workload:1";

/// The archive of the image: every program of `e2e/programs` is in `/usr/bin`, by its name.
pub fn archive() -> Result<PathBuf> {
    let tree = recipes::debian::ensure()?;
    let mut entries = base::with_shell(&tree, ("user", 1000, "/"))?;
    // For a pod to change: what a writable layer says about the image below it must move too.
    entries.extend(["usr/share", "usr/share/lower", "usr/share/lower/hidden"].map(Entry::dir));
    for name in ["hidden/old", "file", "kept", "grown"] {
        entries.push(Entry::text(&format!("usr/share/lower/{name}"), "of the image\n"));
    }
    let tools = layer::ensure("tools", &entries)?;
    let mut entries = Vec::new();
    for (name, path) in programs::all()? {
        entries.push(Entry::program(&format!("usr/bin/{name}"), &path));
    }
    let programs = layer::ensure("workload", &entries)?;
    let config = oci::Config {
        command: vec!["/usr/bin/workload".to_owned(), "serve".to_owned()],
        ..Default::default()
    };
    oci::archive(IMAGE, &[tools, programs], &config)
}
