//! What stands in the files of a record directory.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The version of [`Record`] that this build writes and reads.
pub const VERSION: u32 = 1;

/// What the agent wants restored instead of created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of this record: [`VERSION`].
    pub version: u32,
    /// The UID of the migration.
    pub migration: String,
    /// The directory of CRIU's images, as a path on the node.
    pub image_dir: PathBuf,
    /// The directory of CRIU's log and statistics, as a path on the node. Must exist.
    pub work_dir: PathBuf,
    /// When the restore must be done, in milliseconds since 1970.
    pub deadline_ms: u64,
    /// Whether pages that the images call lazy are left to the page server that listens at `lazy-pages.socket` in `work_dir`. It must
    /// listen there before the gate is opened.
    #[serde(default)]
    pub lazy: bool,
}

/// A container whose `create` has arrived and waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// The container's ID at the OCI runtime.
    pub id: String,
    /// The bundle directory.
    pub bundle: PathBuf,
    /// The file that takes the PID of the container's first process.
    pub pid_file: Option<PathBuf>,
    /// The mounted root file system.
    pub rootfs: PathBuf,
    /// runc's `--root`, if it was given.
    pub runc_root: Option<PathBuf>,
    /// When `create` arrived, in milliseconds since 1970.
    pub unix_ms: u64,
}

/// One stage of a dump or restore and when it was reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// `start`, `request`, `waiting`, `go`, `forwarded`, `frozen`, `done`, or the name of one of CRIU's notifications (`network-lock`,
    /// `post-dump`, `setup-namespaces`, `post-restore`, `network-unlock`, `pre-resume`, …).
    pub name: String,
    /// Microseconds since 1970.
    pub unix_us: u64,
}

/// A restored container that is frozen before its first instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The PID of the container's first process on the node.
    pub init_pid: i32,
    /// The container's cgroup in each hierarchy: lines of `/proc/PID/cgroup` without the number, e.g. `freezer:/kubepods/…`.
    pub cgroups: Vec<String>,
    /// The directory in which the container is frozen (v1: of the freezer hierarchy; v2: the container's only one).
    pub freezer: PathBuf,
    /// The stages until now.
    pub stages: Vec<Stage>,
}

/// The relay waits at the gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The PID on the node of the relay's guard, which ends after the relay.
    pub relay_pid: i32,
    /// The PID of the real CRIU on the node.
    pub criu_pid: i32,
    /// The directory in which the container can be frozen, if it is known.
    pub freezer: Option<PathBuf>,
}

/// A restored and frozen container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The PID of the container's first process on the node.
    pub pid: i32,
    /// The container's ID at the OCI runtime.
    pub id: String,
}

/// Why something is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// A stable reason in `PascalCase`.
    pub reason: String,
    /// What happened, with CRIU's decisive line if there is one.
    pub message: String,
}

/// The time now in milliseconds since 1970.
pub fn unix_ms() -> u64 {
    since_epoch().as_millis().try_into().unwrap_or(u64::MAX)
}

/// The time now in microseconds since 1970.
pub fn unix_us() -> u64 {
    since_epoch().as_micros().try_into().unwrap_or(u64::MAX)
}

/// A clock before 1970 counts as 1970.
fn since_epoch() -> std::time::Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
