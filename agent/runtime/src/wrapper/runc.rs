//! The real runc.

use std::convert::Infallible;
use std::env;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, umount2};
use serde_json::Value;

use super::{Call, WrapperError};

/// A command for the real runc: the one named by `GODWIT_RUNC`, else the one in `PATH`.
pub(super) fn command() -> Command {
    let mut command = Command::new(env::var_os("GODWIT_RUNC").unwrap_or_else(|| "runc".into()));
    if env::var_os("PATH").is_none_or(|path| path.is_empty()) {
        command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
    }
    command
}

/// Becomes runc with the call's own arguments.
pub(super) fn become_it(call: &Call) -> Result<Infallible, WrapperError> {
    Err(WrapperError::Runc(command().args(&call.arguments).exec()))
}

/// Takes away the mount that a `runc restore` leaves when it is killed half-way; `runc delete` fails as long as it is there. In any
/// other state of a container there is none.
pub(super) fn unmount_leftover(call: &Call, id: &str) {
    let root = call.root.as_deref().unwrap_or(Path::new("/run/runc"));
    let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    // No such mount is the common case.
    let _ = umount2(&root.join(id).join("criu-root"), flags);
}

/// Answers `state` of a restored container that is not started yet: CRI-O starts only what is "created".
pub(super) fn state_created(call: &Call) -> Result<(), WrapperError> {
    let output = command()
        .args(&call.arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(WrapperError::Runc)?;
    let answer = created(&output.stdout).unwrap_or(output.stdout);
    std::io::stdout().write_all(&answer).map_err(WrapperError::Runc)?;
    if output.status.success() {
        Ok(())
    } else {
        Err(WrapperError::Runc(std::io::Error::other(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        )))
    }
}

/// runc's answer with the status "created" instead of "running" or "paused".
fn created(answer: &[u8]) -> Option<Vec<u8>> {
    let mut state: Value = serde_json::from_slice(answer).ok()?;
    let status = state.get_mut("status")?;
    if matches!(status.as_str()?, "running" | "paused") {
        *status = Value::from("created");
    }
    serde_json::to_vec(&state).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_live_container_becomes_created() {
        let read = |text: &str| created(text.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(
            read(r#"{"pid":1,"status":"paused"}"#).unwrap(),
            r#"{"pid":1,"status":"created"}"#
        );
        assert_eq!(
            read(r#"{"pid":0,"status":"stopped"}"#).unwrap(),
            r#"{"pid":0,"status":"stopped"}"#
        );
        assert_eq!(read("x"), None);
    }
}
