//! Room for the images of the source. Where there is none, hardly anybody can say so: CRIU's log, runc's output and the supervisor's result are
//! files of the same file system.

use std::path::Path;

use nix::sys::statvfs::{Statvfs, statvfs};

use crate::{failure::Failure, step::SourceStep};

/// Blocks that are as good as none: a log takes them, an image does not fit.
const HARDLY_ANY: u64 = 16;

/// The failure of a dump into that directory, or, if its file system is full, that one instead.
pub(super) fn or_no_room(failure: Failure, step: SourceStep, images: &Path) -> Failure {
    let Some(size) = statvfs(images).ok().as_ref().and_then(full) else {
        return failure;
    };
    let message = format!(
        "the file system of the images on the source's node ({} MiB in all) is full: make room there, or let memory travel ahead of the freeze (spec.memory: PreCopy), which needs next to none; the dump ended with: {}",
        size >> 20,
        failure.message
    );
    Failure::new(step, "NoSpaceForImages", message)
}

/// The size in bytes of a file system that has no room for another image or file.
fn full(room: &Statvfs) -> Option<u64> {
    // Without a limit there are neither blocks nor files to be counted (tmpfs with size=0).
    let no_blocks = room.blocks() > 0 && room.blocks_available() < HARDLY_ANY;
    let no_files = room.files() > 0 && room.files_available() == 0;
    (no_blocks || no_files).then(|| room.blocks().saturating_mul(room.fragment_size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_room_the_failure_is_what_it_was() {
        let failure = Failure::new(SourceStep::Dump, "DumpFailed", "CRIU says no");
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(
            or_no_room(failure.clone(), SourceStep::Dump, directory.path()),
            failure
        );
        assert_eq!(
            or_no_room(failure.clone(), SourceStep::Dump, Path::new("/nowhere")),
            failure
        );
    }
}
