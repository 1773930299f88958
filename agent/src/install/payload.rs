//! The programs that the agent's image brings along, copied to the node.
//!
//! `bin/` (`godwit-runtime`, `godwit-park`, `godwit-pages`) and `criu/` (launcher, CRIU itself, its loader and libraries).

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use super::InstallError;
use super::error::FileContext;
use super::files;

/// Directories of the payload.
pub const PARTS: [&str; 2] = ["bin", "criu"];
/// CRIU's configuration for the runtime calls, below the state directory.
pub const CRIU_CONFIG: &str = "criu/godwit.conf";

/// Largest unlinked file that travels inside CRIU's images, bytes; what the configuration says.
pub const GHOST_LIMIT: u64 = 256 << 20;

/// Why each line is there:
/// - `network-lock skip`: Godwit holds the pod's packets itself; CRIU's lock spawns iptables-restore, 41 ms in the dump
///   and 53 ms in the restore.
/// - `ghost-limit`: unlinked files that are still open travel inside the images; the default of 1 MiB refuses most of
///   them (temporary files of databases). 256 MiB, as images are in memory.
const CRIU_CONFIG_TEXT: &str = "\
# Written by Godwit's agent; used by its own calls of CRIU alone.
network-lock skip
ghost-limit 268435456
";

/// Copies the payload to the state directory. True: something changed.
///
/// Files are replaced by rename: what runs from the old one keeps it. What an older version brought and this one does
/// not is removed.
pub fn install(payload: &Path, state: &Path) -> Result<bool, InstallError> {
    for needed in ["bin/godwit-runtime", "bin/godwit-pages", "criu/criu"] {
        if !payload.join(needed).is_file() {
            return Err(InstallError::Payload {
                path: payload.to_owned(),
                missing: needed,
            });
        }
    }
    let mut changed = false;
    for part in PARTS {
        changed |= mirror(&payload.join(part), &state.join(part), Path::new(part), 0)?;
    }
    changed |= files::write(&state.join(CRIU_CONFIG), CRIU_CONFIG_TEXT.as_bytes(), 0o644)?;
    Ok(changed)
}

/// Deepest directory of a payload.
const DEPTH_LIMIT: usize = 8;

fn mirror(from: &Path, to: &Path, relative: &Path, depth: usize) -> Result<bool, InstallError> {
    if depth > DEPTH_LIMIT {
        return Err(InstallError::PayloadEntry {
            path: from.to_owned(),
        });
    }
    if fs::symlink_metadata(to).is_ok_and(|metadata| !metadata.is_dir()) {
        files::remove(to)?;
    }
    let mut changed = files::directory(to, 0o755)?;
    let mut expected = BTreeSet::<OsString>::new();
    for entry in fs::read_dir(from).during("list", from)? {
        let entry = entry.during("list", from)?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let relative = relative.join(entry.file_name());
        expected.insert(entry.file_name());
        let kind = entry.file_type().during("read", &source)?;
        if kind.is_dir() {
            changed |= mirror(&source, &target, &relative, depth + 1)?;
            continue;
        }
        if fs::symlink_metadata(&target).is_ok_and(|metadata| metadata.is_dir()) {
            files::remove_tree(&target)?;
        }
        if kind.is_symlink() {
            changed |= link(&source, &target, &relative)?;
        } else if kind.is_file() {
            let mode = fs::metadata(&source)
                .during("read", &source)?
                .permissions()
                .mode();
            // Set-id bits have no business here, whatever built the image.
            let mode = if mode & 0o111 == 0 { 0o644 } else { 0o755 };
            changed |= files::copy(&source, &target, mode)?;
        } else {
            return Err(InstallError::PayloadEntry { path: source });
        }
    }
    Ok(changed | remove_others(to, relative, &expected)?)
}

fn remove_others(
    directory: &Path,
    relative: &Path,
    expected: &BTreeSet<OsString>,
) -> Result<bool, InstallError> {
    let mut changed = false;
    for entry in fs::read_dir(directory).during("list", directory)? {
        let entry = entry.during("list", directory)?;
        let own = relative
            .join(entry.file_name())
            .components()
            .eq(Path::new(CRIU_CONFIG).components());
        if expected.contains(&entry.file_name()) || own {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            files::remove_tree(&entry.path())?;
        } else {
            files::remove(&entry.path())?;
        }
        changed = true;
    }
    Ok(changed)
}

/// Libraries come with links such as `libnl-3.so.200 -> libnl-3.so.200.26.0`; none may lead out of the payload.
fn link(source: &Path, target: &Path, relative: &Path) -> Result<bool, InstallError> {
    let points_to = fs::read_link(source).during("read", source)?;
    let mut depth = relative.components().count().saturating_sub(1);
    for component in points_to.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::ParentDir if depth > 1 => depth -= 1,
            Component::CurDir => {}
            _ => {
                return Err(InstallError::PayloadEntry {
                    path: source.to_owned(),
                });
            }
        }
    }
    if fs::read_link(target).is_ok_and(|found| found == points_to) {
        return Ok(false);
    }
    let temporary = files::temporary(target);
    files::remove(&temporary)?;
    std::os::unix::fs::symlink(&points_to, &temporary)
        .and_then(|()| fs::rename(&temporary, target))
        .or_else(|error: io::Error| fs::remove_file(&temporary).and(Err(error)))
        .during("link", target)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_preflight_goes_by_is_what_criu_is_told() {
        assert!(CRIU_CONFIG_TEXT.contains(&format!("\nghost-limit {GHOST_LIMIT}\n")));
    }
}
