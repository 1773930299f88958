//! The freezer controller of version 1 (Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst).

use std::path::Path;

use super::{CgroupError, State};
use crate::bounded;

const STATE: &str = "freezer.state";

pub(super) fn request(directory: &Path, frozen: bool) -> Result<(), CgroupError> {
    let path = directory.join(STATE);
    std::fs::write(&path, if frozen { "FROZEN" } else { "THAWED" }).map_err(CgroupError::file("write", path))
}

/// Reading is what makes the kernel notice that the last task has frozen.
pub(super) fn state(directory: &Path) -> Result<State, CgroupError> {
    let path = directory.join(STATE);
    let text = bounded::read_text(&path, 64).map_err(CgroupError::file("read", &path))?;
    match text.trim_end() {
        "THAWED" => Ok(State::Thawed),
        "FREEZING" => Ok(State::Freezing),
        "FROZEN" => Ok(State::Frozen),
        _ => Err(CgroupError::UnknownState { path, content: text }),
    }
}
