//! Things that are slow to make, kept under a key that is a hash of everything that decides what comes out.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::file_lock::FileLock;
use crate::paths;

/// How long one run waits for another one that makes the same thing. A cold build of Kubernetes takes minutes.
const PATIENCE: Duration = Duration::from_hours(1);

/// The folder that holds the thing called `name` made from `inputs` (a recipe's text, versions, contents of files).
/// If it is not there yet, `make` fills a fresh folder, which then gets its final name in one step; so a folder of a
/// final name is always complete. Fails if `make` does; nothing is kept then.
pub fn ensure(name: &str, inputs: &[&[u8]], make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let root = paths::cache_dir()?;
    let done = root.join(format!("{name}-{}", key(inputs)));
    if done.exists() {
        return Ok(done);
    }
    let _lock = FileLock::acquire(&root.join(format!("{name}.lock")), PATIENCE)?;
    if done.exists() {
        return Ok(done);
    }
    remove_unfinished(&root, name)?;
    let work = tempfile::Builder::new()
        .prefix(&unfinished_prefix(name))
        .tempdir_in(&root)
        .with_context(|| format!("create a folder in {}", root.display()))?;
    eprintln!("making {name} (once, then kept in {})", root.display());
    let started = Instant::now();
    make(work.path()).with_context(|| format!("make {name}"))?;
    // A temporary folder is 0700; what is kept may be the root of a node, whose services run as other users.
    std::fs::set_permissions(work.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    std::fs::rename(work.path(), &done).with_context(|| format!("name {}", done.display()))?;
    let _ = work.keep();
    eprintln!("made {name} in {:.1} s", started.elapsed().as_secs_f64());
    Ok(done)
}

/// Remove all but the `keep` newest things called `name`: what is made again at every change of the source would fill
/// the disk. What another run may be reading is among the newest.
pub fn prune(name: &str, keep: usize) -> Result<()> {
    let root = paths::cache_dir()?;
    let _lock = FileLock::acquire(&root.join(format!("{name}.lock")), PATIENCE)?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&root)? {
        let entry = entry?;
        let file = entry.file_name();
        let suffix = file
            .to_string_lossy()
            .strip_prefix(name)
            .and_then(|rest| rest.strip_prefix('-').map(str::to_owned));
        if suffix.is_some_and(|key| key.len() == 16 && key.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            found.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    found.sort();
    for (_, path) in found.iter().rev().skip(keep) {
        std::fs::remove_dir_all(path).with_context(|| format!("remove {}", path.display()))?;
    }
    Ok(())
}

/// A short hash of all inputs, each with its length, so that no two lists of inputs look alike.
pub fn key(inputs: &[&[u8]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for input in inputs {
        hasher.update(&(input.len() as u64).to_le_bytes());
        hasher.update(input);
    }
    hasher.finalize().to_hex()[..16].to_owned()
}

fn unfinished_prefix(name: &str) -> String {
    format!(".{name}.unfinished.")
}

/// What a killed run left. The caller holds the lock for `name`, so nobody is working in these folders.
fn remove_unfinished(root: &Path, name: &str) -> Result<()> {
    let prefix = unfinished_prefix(name);
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(&prefix) {
            std::fs::remove_dir_all(entry.path())
                .with_context(|| format!("remove what a killed run left: {}", entry.path().display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn the_key_tells_apart_where_one_input_ends() {
        assert_ne!(key(&[b"ab", b"c"]), key(&[b"a", b"bc"]));
        assert_ne!(key(&[b"ab"]), key(&[b"ab", b""]));
        assert_eq!(key(&[b"ab", b"c"]), key(&[b"ab", b"c"]));
    }
}
