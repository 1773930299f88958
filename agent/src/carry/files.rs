//! The files of the carry directory: each is there whole, or as it was.
//!
//! A file of the directory means that something still depends on this node; uninstalling is refused as long as there is one.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use super::entry::CarryError;

/// Suffix of a file that is being written.
const FRESH: &str = "new";

/// Writes `content` to `path` as JSON. `path` must have a suffix, and no other file of the directory the same stem: a
/// file of that stem, with [`FRESH`] for its suffix, is there meanwhile.
pub(super) fn write(path: &Path, content: &impl Serialize) -> Result<(), CarryError> {
    let failed = |source| CarryError::Record {
        path: path.to_owned(),
        source,
    };
    let fresh = path.with_extension(FRESH);
    let text = serde_json::to_vec(content).map_err(|error| failed(error.into()))?;
    let mut out = fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(failed)?;
    // Not synced: this is for a restart of the agent. A power failure ends the pod and its connections too.
    out.write_all(&text).map_err(failed)?;
    fs::rename(&fresh, path).map_err(failed)
}

/// Removes a file; it may be gone already.
pub(super) fn remove(path: &Path) -> Result<(), CarryError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(CarryError::Record {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Path of a file, and what it says or why that cannot be read.
pub(super) type Read<T> = (PathBuf, Result<T, serde_json::Error>);

/// Reads every file of `directory` with this suffix, with what became of each. Fails only if the directory cannot be listed.
pub(super) fn read_all<T: DeserializeOwned>(
    directory: &Path,
    suffix: &str,
) -> Result<Vec<Read<T>>, CarryError> {
    let read = |path: PathBuf| {
        let content = fs::read(&path)
            .map_err(serde_json::Error::io)
            .and_then(|text| serde_json::from_slice(&text));
        (path, content)
    };
    Ok(with_suffix(directory, suffix)?.into_iter().map(read).collect())
}

/// Removes what an agent that was killed had not finished writing.
pub(super) fn remove_unfinished(directory: &Path) -> Result<(), CarryError> {
    with_suffix(directory, FRESH)?
        .iter()
        .try_for_each(|path| remove(path))
}

fn with_suffix(directory: &Path, suffix: &str) -> Result<Vec<PathBuf>, CarryError> {
    let failed = |source| CarryError::Record {
        path: directory.to_owned(),
        source,
    };
    let mut paths = Vec::new();
    for file in fs::read_dir(directory).map_err(failed)? {
        let path = file.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == suffix) {
            paths.push(path);
        }
    }
    Ok(paths)
}
