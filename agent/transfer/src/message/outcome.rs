//! How the restore of each container, and the whole migration, ended.

use crate::limits::MAX_MESSAGE_TEXT;
use crate::text::clip;

/// A container that is restored and held.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Restored {
    /// Its name.
    #[prost(string, tag = "1")]
    pub container: String,
    /// Its first process, as the target node counts.
    #[prost(uint32, tag = "2")]
    pub pid: u32,
}

/// A container that could not be restored.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct RestoreFailed {
    /// Its name.
    #[prost(string, tag = "1")]
    pub container: String,
    /// Stable, `PascalCase`.
    #[prost(string, tag = "2")]
    pub reason: String,
    /// What happened, with CRIU's decisive line.
    #[prost(string, tag = "3")]
    pub message: String,
}

impl RestoreFailed {
    /// The message; a text over [`MAX_MESSAGE_TEXT`] is cut.
    pub fn new(container: &str, reason: &str, message: &str) -> Self {
        Self {
            container: container.to_owned(),
            reason: reason.to_owned(),
            message: clip(message, MAX_MESSAGE_TEXT),
        }
    }
}

/// The decision.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Committed {
    /// Addresses that the target is to carry.
    #[prost(string, repeated, tag = "1")]
    pub addresses: Vec<String>,
}

/// The target runs.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Running {
    /// Addresses that it carries.
    #[prost(string, repeated, tag = "1")]
    pub carried: Vec<String>,
}

/// What the source's journal says of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum VerdictAnswer {
    /// Not an answer; what a missing field reads as.
    Unspecified = 0,
    /// The target is the workload: let it go.
    Committed = 1,
    /// The source is the workload: end the target.
    Aborted = 2,
    /// Not decided yet: ask again.
    Undecided = 3,
    /// The source's agent has no record of it: never committed, or finished long ago.
    Unknown = 4,
}

/// Answer to `VerdictRequest`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Verdict {
    /// How it ended.
    #[prost(enumeration = "VerdictAnswer", tag = "1")]
    pub verdict: i32,
}
