//! One process, as procfs shows it at one moment.

pub(crate) mod descriptor;
pub(crate) mod mapping;
pub(crate) mod namespaces;
pub(crate) mod status;

use std::path::{Path, PathBuf};

use self::descriptor::Descriptor;
use self::mapping::Mapping;
use self::namespaces::Namespaces;
use self::status::Status;

/// What the checks look at.
#[derive(Debug)]
pub(crate) struct Process {
    /// Its PID on the node.
    pub(crate) pid: u32,
    /// `/proc/PID`.
    pub(crate) proc: PathBuf,
    pub(crate) status: Status,
    pub(crate) namespaces: Namespaces,
    pub(crate) descriptors: Vec<Descriptor>,
    pub(crate) mappings: Vec<Mapping>,
}

impl Process {
    /// Reads it. None: it has ended, or is a zombie, of which CRIU takes no more than its exit code.
    pub(crate) fn read(proc: &Path, pid: u32) -> Option<Self> {
        let proc = proc.join(pid.to_string());
        let status = Status::read(&proc)?;
        if matches!(status.state, b'Z' | b'X') {
            return None;
        }
        Some(Self {
            namespaces: Namespaces::read(&proc),
            descriptors: descriptor::all(&proc),
            mappings: mapping::all(&proc),
            pid,
            proc,
            status,
        })
    }

    /// Its name, for messages.
    pub(crate) fn name(&self) -> String {
        String::from_utf8_lossy(&self.status.name).into_owned()
    }

    /// Its number inside the pod.
    pub(crate) fn inside(&self) -> u32 {
        self.status.inside.last().copied().unwrap_or(self.pid)
    }
}
