//! The library in its builds, and the program that calls it.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::{cache, command};

const CALLER: &str = include_str!("caller.c");
const FOO: &str = include_str!("foo.c");
const TWO_VERSIONS: &str = "FOO_2.0 { global: foo_old; local: *; }; FOO_2.4 { global: foo_new; } FOO_2.0;";
const ONE_VERSION: &str = "FOO_2.0 { global: foo_old; local: *; };";

/// Where the program finds the library, in its container.
pub(super) const IN_CONTAINER: &str = "/opt/vendor";
/// The program.
pub(super) const CALLER_NAME: &str = "caller";
/// The build of the source's node, whose functions give 1 and 2.
pub(super) const OWN: &str = "own.so";
/// Another build, whose functions give 11 and 12.
pub(super) const OTHER: &str = "other.so";
/// One that lacks `foo_new`.
pub(super) const LACKING: &str = "lacking.so";

/// A folder with all of them.
pub(super) fn ensure() -> Result<PathBuf> {
    let inputs = [
        CALLER,
        FOO,
        TWO_VERSIONS,
        ONE_VERSION,
        IN_CONTAINER,
        std::env::consts::ARCH,
    ];
    cache::ensure("vendor-library", &inputs.map(str::as_bytes), |dir| {
        std::fs::write(dir.join("caller.c"), CALLER)?;
        std::fs::write(dir.join("foo.c"), FOO)?;
        library(dir, OWN, TWO_VERSIONS, &["-DFIRST=1", "-DSECOND=2"])?;
        library(
            dir,
            OTHER,
            TWO_VERSIONS,
            &["-DFIRST=11", "-DSECOND=12", "-DLONGER"],
        )?;
        library(dir, LACKING, ONE_VERSION, &["-DFIRST=1"])?;
        let rpath = format!("-Wl,-rpath,{IN_CONTAINER}");
        let library = dir.join(OWN).display().to_string();
        cc(
            dir,
            "caller.c",
            CALLER_NAME,
            &[&library, &rpath, "-Wl,-z,lazy", "-no-pie", "-fno-pie"],
        )
    })
}

fn library(dir: &Path, output: &str, versions: &str, arguments: &[&str]) -> Result<()> {
    let script = dir.join("versions");
    std::fs::write(&script, versions)?;
    let script = format!("-Wl,--version-script={}", script.display());
    let shared = [
        "-shared",
        "-fPIC",
        "-Wl,-soname,libfoo.so.2",
        "-Wl,--build-id",
        &script,
    ];
    cc(dir, "foo.c", output, &[arguments, &shared].concat())
}

fn cc(dir: &Path, source: &str, output: &str, arguments: &[&str]) -> Result<()> {
    let mut cc = command::bound("cc");
    cc.arg("-O1")
        .arg(dir.join(source))
        .arg("-o")
        .arg(dir.join(output))
        .args(arguments);
    command::output(&mut cc).map(drop)
}
