//! What was reached when.

use super::Session;
use crate::record::{STAGES, Stage, unix_us};

impl Session {
    pub(super) fn stage(&mut self, name: &str) {
        // CRIU has about ten stages; a peer that sends others without end gets no room for them.
        if self.stages.len() < 64 {
            self.stages.push(Stage {
                name: name.to_owned(),
                unix_us: unix_us(),
            });
        }
    }

    /// The stages are for figures only: nothing depends on them.
    pub(super) fn write_stages(&self) {
        if let Some(directory) = &self.directory {
            let _ = directory.write_json(STAGES, &self.stages);
        }
    }
}
