//! runc's descriptors under runc's numbers.

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use super::Session;
use crate::process;
use crate::relay::RelayError;

impl Session {
    /// CRIU opens these numbers in *our* `/proc/PID/fd`, because we made its socket; so they must be here what they are in runc.
    pub(super) fn mirror(&mut self, numbers: &[i32]) -> Result<(), RelayError> {
        let failed = |source| RelayError::System {
            action: "copy a descriptor of runc",
            source,
        };
        if numbers.is_empty() {
            return Ok(());
        }
        self.mirrored.clear();
        let mut seen = Vec::new();
        for number in numbers {
            if seen.contains(number) {
                continue;
            }
            seen.push(*number);
            let path = format!("/proc/{}/fd/{number}", self.runc_pid);
            let fd = open(path.as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(failed)?;
            // Out of the way first: the number itself may be that of the next one.
            let fd = process::raise(fd, 900).map_err(failed)?;
            self.mirrored.push(process::place(&fd, *number).map_err(failed)?);
        }
        Ok(())
    }
}
