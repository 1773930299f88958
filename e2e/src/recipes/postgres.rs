//! What PostgreSQL's image is made of: Debian's package with the libraries it needs, and nothing else of a Debian.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::cache;

use super::debian;

/// The package that needs the version which the suite has.
const PACKAGE: &str = "postgresql";
/// What is kept: loader and libraries (with the links to them), the programs and what they read.
const KEPT: &[&str] = &[
    "lib",
    "lib64",
    "usr/lib",
    "usr/lib64",
    "usr/share/postgresql",
    "usr/share/zoneinfo/Etc/UTC",
];

/// The root of it; it must not be written to. Takes a minute the first time.
pub fn ensure() -> Result<PathBuf> {
    let kept = KEPT.join(",");
    let inputs = [
        debian::SUITE.as_bytes(),
        PACKAGE.as_bytes(),
        kept.as_bytes(),
        std::env::consts::ARCH.as_bytes(),
    ];
    let entry = cache::ensure("postgres", &inputs, |dir| {
        let whole = dir.join("whole");
        debian::bootstrap(&whole, PACKAGE, &dir.join("log"))?;
        for path in KEPT {
            keep(&whole, &dir.join("root"), Path::new(path))?;
        }
        std::fs::remove_dir_all(whole)?;
        Ok(())
    })?;
    Ok(entry.join("root"))
}

fn keep(from: &Path, to: &Path, path: &Path) -> Result<()> {
    let target = to.join(path);
    if let Some(parent) = target.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::rename(from.join(path), target)?;
    Ok(())
}
