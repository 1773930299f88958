//! The gate: a request waits here until the agent lets it through.

use std::os::fd::BorrowedFd;

use super::RelayError;
use crate::record::{ABORT, GO, RecordDir, WAITING, Waiting};
use crate::watch::{Waited, Watch};

/// Says `waiting` and waits for `go`. Gives the watch back, because closing it takes some 14 ms (see [`Watch`]), which are to be spent
/// outside the freeze. `runc` and `criu` are watched meanwhile: neither has anything to say but that it is gone.
pub(super) fn pass(
    directory: &RecordDir,
    waiting: &Waiting,
    runc: BorrowedFd<'_>,
    criu: BorrowedFd<'_>,
    deadline_ms: u64,
) -> Result<Watch, RelayError> {
    let watch = Watch::new(directory.path())?;
    directory.write_json(WAITING, waiting)?;
    match watch.wait(directory, &[ABORT, GO], &[runc, criu], deadline_ms)? {
        Waited::File(GO) => Ok(watch),
        Waited::File(_) => Err(RelayError::Aborted(
            directory
                .read_text(ABORT)?
                .unwrap_or_else(|| "no reason given".to_owned()),
        )),
        Waited::Descriptor(0) => Err(RelayError::RuncGone),
        Waited::Descriptor(_) => Err(RelayError::CriuGone),
        Waited::Deadline => Err(RelayError::GateDeadline),
    }
}
