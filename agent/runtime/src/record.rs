//! The files by which agent, wrapper and relay talk to each other, one directory for each container.
//!
//! At the target it is the container's record directory, at the source a gate directory; the names are the same. Readers trust a
//! file only if it and the directories above it, up to `/run/godwit`, belong to root and nobody else may write them.

mod contents;
mod directory;

pub use contents::{Failed, Held, Parked, Record, Restored, Stage, VERSION, Waiting, unix_ms, unix_us};
pub use directory::{RecordDir, RecordError};

/// [`Record`]: what to restore, from the agent.
pub const RECORD: &str = "record.json";
/// [`Parked`]: `create` has arrived, from the wrapper.
pub const PARKED: &str = "parked.json";
/// Empty: `runc restore` may be spawned now, from the agent. The image directory exists, with `descriptors.json`.
pub const SPAWN: &str = "spawn";
/// [`Waiting`]: the relay holds runc's request at the gate.
pub const WAITING: &str = "waiting";
/// Empty: the gate is open, from the agent. At a restore: every image and file is complete.
pub const GO: &str = "go";
/// Text: give up, and why, from the agent.
pub const ABORT: &str = "abort";
/// Empty: every image of the dump is complete, from the relay. CRIU still holds the tasks: only [`STAGES`] with `done` last says that they
/// are frozen and the dump has succeeded.
pub const IMAGES: &str = "images-complete";
/// CRIU's configuration of a lazy dump, made by the relay for its own CRIU.
pub const CONFIG: &str = "lazy-criu.conf";
/// [`Held`]: the restored container is frozen before its first instruction, from the relay.
pub const HELD: &str = "held.json";
/// List of [`Stage`]: when the stages of the last dump or restore were reached, from the relay.
pub const STAGES: &str = "stages.json";
/// [`Failed`]: why the relay gave up, from the relay.
pub const RELAY_FAILED: &str = "relay-failed.json";
/// [`Restored`]: `runc restore` has succeeded and the container is frozen, from the wrapper.
pub const RESTORED: &str = "restored.json";
/// [`Failed`]: why there is no restored container, from the wrapper.
pub const FAILED: &str = "failed.json";
/// Empty: the migration is committed, from the agent. From now on the container's `create` is an ordinary one.
pub const COMMITTED: &str = "committed";
