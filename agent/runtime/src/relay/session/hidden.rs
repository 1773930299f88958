//! Memory that CRIU does not see.

use std::path::PathBuf;

use super::{Session, Task};
use crate::relay::RelayError;
use crate::veil::{self, Hiding, VeilError};

impl Session {
    /// Hides lazy memory from CRIU, if the container is frozen. Without it the dump is only slower.
    pub(super) fn hide(&mut self, images: Option<i32>) {
        let (
            true,
            Some(images),
            Task::Dump {
                freezer: Some(freezer),
                frozen: true,
            },
        ) = (self.orders.veiled, images, &self.task)
        else {
            return;
        };
        let images = PathBuf::from(format!("/proc/self/fd/{images}"));
        if let Ok(pids) = freezer.pids() {
            self.hiding = Hiding::of(&pids, &self.gate, &images).ok();
            self.stage("veil");
        }
    }

    /// Before a restore: the images must say what was hidden from CRIU.
    pub(super) fn unhide(&self, images: Option<i32>) -> Result<(), RelayError> {
        let Some(images) = images else { return Ok(()) };
        let images = PathBuf::from(format!("/proc/self/fd/{images}"));
        if self.orders.lazy {
            veil::merge(&images)?;
        } else if !veil::hidden(&images)?.is_empty() {
            let path = std::fs::read_link(&images).unwrap_or(images);
            return Err(VeilError::OnlyLazily { path }.into());
        }
        Ok(())
    }
}
