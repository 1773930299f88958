//! Marks of restored containers that containerd has not started yet.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::WrapperError;
use crate::cgroup::Freezer;
use crate::layout::Layout;
use crate::record::{HELD, Held, RecordDir};

/// What a mark says.
#[derive(Serialize, Deserialize)]
struct Mark {
    /// The container's record directory.
    record: PathBuf,
}

/// The mark of a container whose restore was tried; it stays until the container is deleted.
fn tried(id: &str) -> String {
    format!("{id}.tried")
}

/// Names of the files of [`Layout::ids_dir`] that mark the container `id`: for the agent, which removes those of a container that was never
/// made, and so is never deleted.
pub fn marks(id: &str) -> [String; 2] {
    [id.to_owned(), tried(id)]
}

/// Marks a container whose restore begins.
pub(super) fn begin(layout: &Layout, id: &str, record: &Path) -> Result<(), WrapperError> {
    let mark = Mark {
        record: record.to_path_buf(),
    };
    Ok(RecordDir::create(layout, &layout.ids_dir())?.write_json(&tried(id), &mark)?)
}

/// Marks a container as restored: its first `start` has nothing to do.
pub(super) fn remember(layout: &Layout, id: &str, record: &Path) -> Result<(), WrapperError> {
    let mark = Mark {
        record: record.to_path_buf(),
    };
    Ok(RecordDir::create(layout, &layout.ids_dir())?.write_json(id, &mark)?)
}

/// Whether the container is restored and not started yet.
pub(super) fn pending(layout: &Layout, id: &str) -> Result<bool, WrapperError> {
    Ok(read(layout, id)?.is_some())
}

/// Whether this is the first `start` of a restored container; the next one is not.
pub(super) fn first(layout: &Layout, id: &str) -> Result<bool, WrapperError> {
    let Some((directory, _)) = read(layout, id)? else {
        return Ok(false);
    };
    directory.remove(id)?;
    Ok(true)
}

/// Before a restored container that is still frozen is ended: SIGKILL to all its processes. runc would send it to the first one
/// only, and thaw; the others would run until the first has taken them along.
pub(super) fn kill_held(layout: &Layout, id: &str) -> Result<(), WrapperError> {
    let Some((_, mark)) = read(layout, &tried(id))? else {
        return Ok(());
    };
    // Once the agent has removed the record, the container is an ordinary one.
    let Some(record) = RecordDir::open(layout, &mark.record)? else {
        return Ok(());
    };
    let Some(held) = record.read_json::<Held>(HELD)? else {
        return Ok(());
    };
    let freezer = Freezer::at(&held.freezer);
    // A cgroup that is gone has nothing to end.
    if freezer.is_frozen().unwrap_or(false) {
        freezer.kill_all()?;
    }
    Ok(())
}

/// Removes the marks of a container that goes.
pub(super) fn forget(layout: &Layout, id: &str) -> Result<(), WrapperError> {
    for name in marks(id) {
        if let Some((directory, _)) = read(layout, &name)? {
            directory.remove(&name)?;
        }
    }
    Ok(())
}

/// A mark and its directory, if it is there and trusted.
fn read(layout: &Layout, name: &str) -> Result<Option<(RecordDir, Mark)>, WrapperError> {
    let Ok(path) = layout.id_file(name) else {
        return Ok(None);
    };
    // The common case first, with one call: not ours.
    if fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(None);
    }
    let Some(directory) = RecordDir::open(layout, &layout.ids_dir())? else {
        return Ok(None);
    };
    Ok(directory.read_json(name)?.map(|mark| (directory, mark)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_start_is_ours() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("run")).unwrap();
        let layout = Layout::new(root.path());
        assert!(!first(&layout, "abc").unwrap());
        let record = layout.record_dir("uid", "redis").unwrap();
        begin(&layout, "abc", &record).unwrap();
        remember(&layout, "abc", &layout.run_dir()).unwrap();
        assert!(pending(&layout, "abc").unwrap());
        assert!(!first(&layout, "other").unwrap());
        assert!(first(&layout, "abc").unwrap());
        assert!(!first(&layout, "abc").unwrap());
        remember(&layout, "abc", &layout.run_dir()).unwrap();
        forget(&layout, "abc").unwrap();
        first(&layout, "abc").unwrap();
        kill_held(&layout, "abc").unwrap();
        forget(&layout, "abc").unwrap();
        assert!(!pending(&layout, "abc").unwrap());
        assert_eq!(fs::read_dir(layout.ids_dir()).unwrap().count(), 0);
    }
}
