//! Marks of restored containers that containerd has not started yet.

use std::fs;
use std::io::ErrorKind;

use super::WrapperError;
use crate::layout::Layout;
use crate::record::{RecordDir, RecordError};

/// Marks a container as restored: its first `start` has nothing to do.
pub(super) fn remember(layout: &Layout, id: &str) -> Result<(), WrapperError> {
    Ok(RecordDir::create(layout, &layout.ids_dir())?.mark(id)?)
}

/// Whether the container is restored and not started yet.
pub(super) fn pending(layout: &Layout, id: &str) -> Result<bool, WrapperError> {
    let Ok(path) = layout.id_file(id) else {
        return Ok(false);
    };
    // The common case first, with one call: not ours.
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        _ => Ok(marked(layout, id)?.is_some()),
    }
}

/// Whether this is the first `start` of a restored container; the next one is not.
pub(super) fn first(layout: &Layout, id: &str) -> Result<bool, WrapperError> {
    if !pending(layout, id)? {
        return Ok(false);
    }
    if let Some(directory) = marked(layout, id)? {
        directory.remove(id)?;
    }
    Ok(true)
}

/// Removes the mark of a container that goes.
pub(super) fn forget(layout: &Layout, id: &str) -> Result<(), WrapperError> {
    first(layout, id).map(drop)
}

/// The directory of marks, if it is trusted and has this one.
fn marked(layout: &Layout, id: &str) -> Result<Option<RecordDir>, RecordError> {
    let Some(directory) = RecordDir::open(layout, &layout.ids_dir())? else {
        return Ok(None);
    };
    Ok(directory.read(id)?.map(|_| directory))
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
        remember(&layout, "abc").unwrap();
        assert!(pending(&layout, "abc").unwrap());
        assert!(!first(&layout, "other").unwrap());
        assert!(first(&layout, "abc").unwrap());
        assert!(!first(&layout, "abc").unwrap());
        remember(&layout, "abc").unwrap();
        forget(&layout, "abc").unwrap();
        assert!(!pending(&layout, "abc").unwrap());
    }
}
