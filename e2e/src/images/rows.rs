//! The small programs in many languages, one feature each, of which the table of workloads is made.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::layer::{self, Entry};
use super::{base, closure, folder, oci, programs};
use crate::recipes::{self, go};
use crate::{cache, command, paths};

/// The image's name.
pub const IMAGE: &str = "localhost/rows:1";

/// How a program of C is made: static, so that it runs whatever else is in the image.
const C_FLAGS: [&str; 7] = [
    "-std=gnu11",
    "-O1",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-static",
    "-pthread",
];
/// What of Node.js is files of its own.
const NODE_MODULES: &str = "usr/share/nodejs";
/// What no program here asks for.
const UNUSED: [&str; 8] = [
    "test",
    "idlelib",
    "ensurepip",
    "lib2to3",
    "pydoc_data",
    "turtledemo",
    "corepack",
    "npm",
];

/// The archive of the image. Its programs are `/usr/bin/c-rows`, `go-rows`, `rust-rows` and `keeper`, `/rows/rows.py`, `/rows/rows.js` and the
/// class `Rows` in `/rows`, for `/opt/java/bin/java`.
pub fn archive() -> Result<PathBuf> {
    let source = paths::workspace().join("e2e/rows");
    let languages = recipes::languages::ensure(&source.join("java/Rows.java"))?;
    let runtimes = layer::ensure("languages", &runtimes(&languages.root)?)?;
    let mut entries = vec![
        Entry::dir("rows"),
        Entry::program("usr/bin/c-rows", &c(&source.join("c"))?),
        Entry::program("usr/bin/go-rows", &go(&source.join("go"))?),
    ];
    let own = programs::ensure()?;
    for name in ["keeper", "rust-rows"] {
        entries.push(Entry::program(&format!("usr/bin/{name}"), &own.join(name)));
    }
    for script in ["python/row.py", "python/rows.py", "node/rows.js"] {
        let path = source.join(script);
        let name = path.file_name().context("a script without a name")?;
        entries.push(Entry::program(&format!("rows/{}", name.to_string_lossy()), &path));
    }
    for (name, path) in files(&languages.classes)? {
        entries.push(Entry::program(&format!("rows/{name}"), &path));
    }
    let programs = layer::ensure("rows", &entries)?;
    oci::archive(IMAGE, &[runtimes, programs], &oci::Config::default())
}

/// Python, Node.js and Java with their libraries, and a shell.
fn runtimes(tree: &Path) -> Result<Vec<Entry>> {
    let python = format!("usr/lib/{}", python(tree)?);
    let extensions = files(&tree.join(&python).join("lib-dynload"))?;
    let mut needed = vec!["/usr/bin/python3".to_owned(), "/usr/bin/node".to_owned()];
    for name in ["_ctypes.", "_sqlite3."] {
        let found = extensions
            .iter()
            .find(|(file, _)| file.starts_with(name))
            .with_context(|| format!("Python has no {name}"))?;
        needed.push(format!("/{python}/lib-dynload/{}", found.0));
    }
    let needed: Vec<&str> = needed.iter().map(String::as_str).collect();
    let mut entries = closure::entries(tree, &needed)?;
    // The extensions are among Python's own files too.
    entries.retain(|entry| !entry.path().contains("lib-dynload"));
    entries.extend(folder::entries(tree, &python, &UNUSED)?);
    entries.extend(["usr/share", "opt", "root"].map(Entry::dir));
    entries.extend(folder::entries(tree, NODE_MODULES, &UNUSED)?);
    entries.extend(folder::entries(tree, "opt/java", &[])?);
    entries.extend(base::busybox(&recipes::debian::ensure()?)?);
    entries.extend(base::common(("user", 1000, "/")));
    Ok(entries)
}

/// The folder of the one version that is in the tree.
fn python(tree: &Path) -> Result<String> {
    let program = std::fs::read_link(tree.join("usr/bin/python3")).context("find Python's version")?;
    Ok(program.to_string_lossy().into_owned())
}

fn c(source: &Path) -> Result<PathBuf> {
    let files = files(source)?;
    let entry = cache::ensure("rows-c", &slices(&read(&files)?), |dir| {
        let sources = files
            .iter()
            .map(|(_, path)| path)
            .filter(|path| path.extension().is_some_and(|extension| extension == "c"));
        command::output(
            command::bound("cc")
                .args(C_FLAGS)
                .arg("-o")
                .arg(dir.join("c-rows"))
                .args(sources)
                .args(["-lrt", "-lutil"]),
        )
        .map(drop)
    })?;
    cache::prune("rows-c", 2)?;
    Ok(entry.join("c-rows"))
}

fn go(source: &Path) -> Result<PathBuf> {
    let entry = cache::ensure("rows-go", &slices(&read(&files(source)?)?), |dir| {
        command::logged(
            go::tool()?
                .current_dir(source)
                .env("CGO_ENABLED", "0")
                .args(["build", "-trimpath", "-ldflags", "-s -w", "-o"])
                .arg(dir.join("go-rows"))
                .arg("."),
            &dir.join("log"),
        )
    })?;
    cache::prune("rows-go", 2)?;
    Ok(entry.join("go-rows"))
}

/// The files of a folder, by name.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            found.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    found.sort();
    Ok(found)
}

fn read(files: &[(String, PathBuf)]) -> Result<Vec<Vec<u8>>> {
    let mut inputs = vec![C_FLAGS.concat().into_bytes()];
    for (name, path) in files {
        inputs.push(name.clone().into_bytes());
        inputs.push(std::fs::read(path)?);
    }
    Ok(inputs)
}

fn slices(inputs: &[Vec<u8>]) -> Vec<&[u8]> {
    inputs.iter().map(Vec::as_slice).collect()
}
