//! Static programs built from this workspace: those of the tests, and the product's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{cache, command, paths};

/// A folder with the tests' own static programs (crate `e2e/programs`), built if their source is new.
pub fn ensure() -> Result<PathBuf> {
    let source = paths::workspace().join("e2e/programs");
    let mut inputs = vec![command::output(command::bound("rustc").arg("-vV"))?.into_bytes()];
    let mut open = vec![source.clone()];
    let mut files = Vec::new();
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    for file in files {
        let name = file.strip_prefix(&source)?.to_string_lossy().into_owned();
        inputs.push(name.into_bytes());
        inputs.push(std::fs::read(&file)?);
    }
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    cache::ensure("programs", &inputs, |dir| {
        let built = build(&["godwit-e2e-programs"])?;
        for entry in std::fs::read_dir(source.join("src/bin"))? {
            let name = entry?
                .path()
                .file_stem()
                .context("a program without a name")?
                .to_owned();
            std::fs::copy(built.join(&name), dir.join(&name))
                .with_context(|| format!("copy the program {}", name.to_string_lossy()))?;
        }
        Ok(())
    })
}

/// Every program of [`ensure`], by name.
pub fn all() -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(ensure()?)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .context("a program without a name")?
            .to_string_lossy()
            .into_owned();
        found.push((name, path));
    }
    found.sort();
    Ok(found)
}

/// Build all programs of these packages, in release mode, without any shared library; gives the folder they are in.
pub fn build(packages: &[&str]) -> Result<PathBuf> {
    build_with(packages, &[])
}

/// The same with features (`PACKAGE/FEATURE`).
pub fn build_with(packages: &[&str], features: &[&str]) -> Result<PathBuf> {
    let host = command::output(command::bound("rustc").arg("-vV"))?;
    let target = host
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .context("rustc names no host")?;
    let mut cargo = command::bound(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // With a target named, the flags are for the programs alone, not for build scripts and macros.
    cargo
        .current_dir(paths::workspace())
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .args(["build", "--release", "--bins", "--target", target]);
    for package in packages {
        cargo.args(["--package", package]);
    }
    if !features.is_empty() {
        cargo.arg("--features").arg(features.join(","));
    }
    run(&mut cargo)?;
    Ok(target_dir()?.join(target).join("release"))
}

fn run(cargo: &mut Command) -> Result<()> {
    command::output(cargo.arg("--quiet")).map(drop)
}

fn target_dir() -> Result<PathBuf> {
    let mut cargo = command::bound(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let text = command::output(cargo.current_dir(paths::workspace()).args([
        "metadata",
        "--format-version=1",
        "--no-deps",
        "--offline",
    ]))?;
    let metadata: serde_json::Value = serde_json::from_str(&text)?;
    let dir = metadata["target_directory"]
        .as_str()
        .context("cargo metadata names no target directory")?;
    Ok(Path::new(dir).to_path_buf())
}
