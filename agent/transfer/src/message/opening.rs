//! How a session begins, and how it is broken off.

use crate::limits::MAX_MESSAGE_TEXT;
use crate::text::clip;

/// What the dialer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Role {
    /// Not a role; what a missing field reads as.
    Unspecified = 0,
    /// The dialer is the source of a migration.
    Migrate = 1,
    /// The dialer is the target and asks how the migration ended.
    AskVerdict = 2,
    /// The dialer tells of an address that the acceptor carries.
    Carry = 3,
    /// The dialer is the source of a migration, and sends pages of memory on a connection of their own.
    Lane = 4,
    /// The dialer is the source of a migration, and asks what the acceptor's node has in the place of files of its own node.
    HostFiles = 5,
}

/// First message of the dialer.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Hello {
    /// Lowest protocol version that the dialer speaks.
    #[prost(uint32, tag = "1")]
    pub min_version: u32,
    /// Highest protocol version that the dialer speaks.
    #[prost(uint32, tag = "2")]
    pub max_version: u32,
    /// What the dialer wants.
    #[prost(enumeration = "Role", tag = "3")]
    pub role: i32,
    /// UID of the `PodMigration`.
    #[prost(string, tag = "4")]
    pub migration_uid: String,
    /// Node of the dialer; must be the one that its certificate names.
    #[prost(string, tag = "5")]
    pub node: String,
    /// Number of a lane, from 0; of no meaning in other roles.
    #[prost(uint32, tag = "6")]
    pub lane: u32,
    /// In a migration: the connection takes the place of one that broke, on which so many objects had ended.
    #[prost(uint32, optional, tag = "7")]
    pub resumes: Option<u32>,
}

impl Hello {
    /// The Hello of this release: its versions, and what the caller wants.
    pub fn new(role: Role, migration_uid: impl Into<String>, node: impl Into<String>) -> Self {
        Self {
            min_version: *crate::PROTOCOL_VERSIONS.start(),
            max_version: *crate::PROTOCOL_VERSIONS.end(),
            role: role.into(),
            migration_uid: migration_uid.into(),
            node: node.into(),
            lane: 0,
            resumes: None,
        }
    }

    /// The same for a lane of the migration.
    pub fn lane(migration_uid: impl Into<String>, node: impl Into<String>, lane: u32) -> Self {
        Self {
            lane,
            ..Self::new(Role::Lane, migration_uid, node)
        }
    }

    /// The same for a connection that takes the place of a broken one, on which `objects` had ended.
    pub fn resuming(migration_uid: impl Into<String>, node: impl Into<String>, objects: u32) -> Self {
        Self {
            resumes: Some(objects),
            ..Self::new(Role::Migrate, migration_uid, node)
        }
    }
}

/// Answer to a Hello.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Welcome {
    /// The version of the conversation.
    #[prost(uint32, tag = "1")]
    pub version: u32,
}

/// A refusal.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Refuse {
    /// Stable, `PascalCase`.
    #[prost(string, tag = "1")]
    pub reason: String,
    /// What is wrong and what would cure it.
    #[prost(string, tag = "2")]
    pub message: String,
}

impl Refuse {
    /// A refusal; a text over [`MAX_MESSAGE_TEXT`] is cut.
    pub fn new(reason: &str, message: &str) -> Self {
        Self {
            reason: reason.to_owned(),
            message: clip(message, MAX_MESSAGE_TEXT),
        }
    }
}

/// Any number; a Pong repeats that of its Ping.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Nonce {
    /// The number.
    #[prost(fixed64, tag = "1")]
    pub nonce: u64,
}

/// Why a migration is to be undone.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Abort {
    /// Step that failed, by its stable name.
    #[prost(string, tag = "1")]
    pub step: String,
    /// Stable, `PascalCase`.
    #[prost(string, tag = "2")]
    pub reason: String,
    /// What happened.
    #[prost(string, tag = "3")]
    pub message: String,
}

impl Abort {
    /// An abort; a text over [`MAX_MESSAGE_TEXT`] is cut.
    pub fn new(step: &str, reason: &str, message: &str) -> Self {
        Self {
            step: step.to_owned(),
            reason: reason.to_owned(),
            message: clip(message, MAX_MESSAGE_TEXT),
        }
    }
}
