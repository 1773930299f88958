//! The files by which agent and supervisor speak.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use godwit_proc::bounded;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::CallError;
use crate::process::ProcessId;

pub(super) const CALL: &str = "call.json";
pub(super) const SUPERVISOR: &str = "supervisor.json";
pub(super) const RESULT: &str = "result.json";
pub(super) const LOG: &str = "supervisor.log";
pub(super) const STDOUT: &str = "stdout";
pub(super) const STDERR: &str = "stderr";

const LIMIT: usize = 1 << 20;

/// Who supervises a call. It leads a session of its own, so that its PID names the whole tree even when it is gone: the kernel gives the
/// number to no one else while the session has members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Supervisor {
    pub(super) process: ProcessId,
}

pub(super) fn read<T: DeserializeOwned>(directory: &Path, name: &str) -> Result<T, CallError> {
    let path = directory.join(name);
    let bytes = bounded::read(&path, LIMIT).map_err(CallError::file("read", &path))?;
    serde_json::from_slice(&bytes).map_err(|source| CallError::Damaged { path, source })
}

/// [`read`], with none for a file that is not there.
pub(super) fn read_if_there<T: DeserializeOwned>(
    directory: &Path,
    name: &str,
) -> Result<Option<T>, CallError> {
    match read(directory, name) {
        Ok(value) => Ok(Some(value)),
        Err(CallError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a file so that it appears whole or not at all.
pub(super) fn write<T: Serialize>(directory: &Path, name: &str, value: &T) -> Result<(), CallError> {
    let path = directory.join(name);
    let part = directory.join(format!("{name}.part"));
    let bytes = serde_json::to_vec(value).map_err(|source| CallError::Damaged {
        path: path.clone(),
        source,
    })?;
    let written = create(&part)
        .and_then(|mut file| file.write_all(&bytes))
        .and_then(|()| std::fs::rename(&part, &path));
    written.map_err(CallError::file("write", path))
}

/// Makes a file that only root may read: environments and logs may tell secrets.
pub(super) fn create(path: &Path) -> io::Result<File> {
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

pub(super) fn unix_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_told_from_a_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_if_there::<Supervisor>(dir.path(), SUPERVISOR).unwrap(), None);
        std::fs::write(dir.path().join(SUPERVISOR), "{").unwrap();
        assert_eq!(
            read_if_there::<Supervisor>(dir.path(), SUPERVISOR)
                .unwrap_err()
                .reason(),
            "CallFilesUnusable"
        );
        let who = Supervisor {
            process: ProcessId {
                pid: 7,
                start_ticks: 9,
            },
        };
        write(dir.path(), SUPERVISOR, &who).unwrap();
        assert_eq!(read_if_there(dir.path(), SUPERVISOR).unwrap(), Some(who));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
