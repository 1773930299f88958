//! The messages of the control frames, as prost encodes them.
//!
//! Tags are for ever: a field that is given up leaves its number unused. Unknown fields are skipped, so a new optional
//! field needs no new version; a new message does.

use prost::Oneof;

use crate::limits::MAX_MESSAGE_TEXT;
use crate::text::clip;

/// What a control frame holds.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Envelope {
    #[prost(
        oneof = "Message",
        tags = "1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 30, 31, 40, 41, 42"
    )]
    pub(crate) message: Option<Message>,
}

/// One message. "Source" and "target" are the agents of the pod's old and new node.
#[derive(Clone, PartialEq, Oneof)]
pub enum Message {
    /// Dialer, first: who it is and what it wants.
    #[prost(message, tag = "1")]
    Hello(Hello),
    /// Acceptor: the conversation may begin.
    #[prost(message, tag = "2")]
    Welcome(Welcome),
    /// Acceptor: no; nothing has been done. Ends the session.
    #[prost(message, tag = "3")]
    Refuse(Refuse),
    /// Either: are you there?
    #[prost(message, tag = "4")]
    Ping(Nonce),
    /// Either: I am.
    #[prost(message, tag = "5")]
    Pong(Nonce),
    /// Either: the migration is to be undone. After Prepared, a target's is a request only.
    #[prost(message, tag = "6")]
    Abort(Abort),
    /// Either: seen; this side undoes its part.
    #[prost(message, tag = "7")]
    AbortOk(Empty),
    /// Source: what will be sent.
    #[prost(message, tag = "10")]
    Manifest(Manifest),
    /// Target: it can take that.
    #[prost(message, tag = "11")]
    ManifestOk(Empty),
    /// Source: chunks of a new object follow. Made by `begin_object`, never sent by hand.
    #[prost(message, tag = "12")]
    ObjectStart(ObjectStart),
    /// Source: the object is complete. Made by `end_object`, never sent by hand.
    #[prost(message, tag = "13")]
    ObjectEnd(ObjectEnd),
    /// Source: let kubelet start the pod's containers.
    #[prost(message, tag = "14")]
    EndParking(Empty),
    /// Target: the create of a container has arrived and waits.
    #[prost(message, tag = "15")]
    Parked(ContainerName),
    /// Source: the descriptors are sent; runtimes may be started ahead of the images.
    #[prost(message, tag = "16")]
    SpawnReady(Empty),
    /// Source: every container is frozen.
    #[prost(message, tag = "17")]
    Frozen(Empty),
    /// Source: all CRIU images of a container have been sent.
    #[prost(message, tag = "18")]
    ImagesComplete(ContainerName),
    /// Source: all files of a container have been sent.
    #[prost(message, tag = "19")]
    FilesComplete(ContainerName),
    /// Target: a container is restored and held.
    #[prost(message, tag = "20")]
    Restored(Restored),
    /// Target: a container could not be restored. The source answers with Abort.
    #[prost(message, tag = "21")]
    RestoreFailed(RestoreFailed),
    /// Target: every container is restored and held; from here on only the source decides.
    #[prost(message, tag = "22")]
    Prepared(Empty),
    /// Source: decided (its journal says so already): the target is the workload.
    #[prost(message, tag = "23")]
    Committed(Committed),
    /// Target: it runs, and carries these addresses.
    #[prost(message, tag = "24")]
    Running(Running),
    /// Source: what it held has been let go. Ends the session.
    #[prost(message, tag = "25")]
    Released(Empty),
    /// Asker: how did this migration end?
    #[prost(message, tag = "30")]
    VerdictRequest(Empty),
    /// Answerer: so.
    #[prost(message, tag = "31")]
    Verdict(Verdict),
    /// The pod that uses a carried address has moved on.
    #[prost(message, tag = "40")]
    CarryMove(CarryMove),
    /// A carried address is no longer in use.
    #[prost(message, tag = "41")]
    CarryEnded(CarryEnded),
    /// Done.
    #[prost(message, tag = "42")]
    CarryOk(Empty),
}

impl Message {
    /// Name of the message, for errors and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "Hello",
            Self::Welcome(_) => "Welcome",
            Self::Refuse(_) => "Refuse",
            Self::Ping(_) => "Ping",
            Self::Pong(_) => "Pong",
            Self::Abort(_) => "Abort",
            Self::AbortOk(_) => "AbortOk",
            Self::Manifest(_) => "Manifest",
            Self::ManifestOk(_) => "ManifestOk",
            Self::ObjectStart(_) => "ObjectStart",
            Self::ObjectEnd(_) => "ObjectEnd",
            Self::EndParking(_) => "EndParking",
            Self::Parked(_) => "Parked",
            Self::SpawnReady(_) => "SpawnReady",
            Self::Frozen(_) => "Frozen",
            Self::ImagesComplete(_) => "ImagesComplete",
            Self::FilesComplete(_) => "FilesComplete",
            Self::Restored(_) => "Restored",
            Self::RestoreFailed(_) => "RestoreFailed",
            Self::Prepared(_) => "Prepared",
            Self::Committed(_) => "Committed",
            Self::Running(_) => "Running",
            Self::Released(_) => "Released",
            Self::VerdictRequest(_) => "VerdictRequest",
            Self::Verdict(_) => "Verdict",
            Self::CarryMove(_) => "CarryMove",
            Self::CarryEnded(_) => "CarryEnded",
            Self::CarryOk(_) => "CarryOk",
        }
    }
}

/// A message that says all by its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Empty {}

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

/// One container of the pod.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ContainerEntry {
    /// Its name in the pod's spec.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its image by digest, as CRI reports it.
    #[prost(string, tag = "2")]
    pub image_id: String,
    /// The low-level runtime that runs it, for example `runc 1.3.0`.
    #[prost(string, tag = "3")]
    pub runtime: String,
    /// Its image by the name in the pod's spec, by which the target's kubelet will look for it.
    #[prost(string, tag = "4")]
    pub image: String,
    /// True for the one container whose restore brings the pod's SysV objects along.
    #[prost(bool, tag = "5")]
    pub owns_sysv: bool,
    /// True if its memory comes in objects of its own, ahead of CRIU's images, which then lack it.
    #[prost(bool, tag = "6")]
    pub lazy: bool,
}

/// An address of the pod, and where it is at home.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct PodAddress {
    /// The address.
    #[prost(string, tag = "1")]
    pub address: String,
    /// Node whose CNI gave it out.
    #[prost(string, tag = "2")]
    pub home_node: String,
    /// `InternalIP` of that node.
    #[prost(string, tag = "3")]
    pub home_address: String,
}

/// What moves.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Manifest {
    /// UID of the source pod.
    #[prost(string, tag = "1")]
    pub source_pod_uid: String,
    /// UID of the target pod.
    #[prost(string, tag = "2")]
    pub target_pod_uid: String,
    /// Hostname inside the pod.
    #[prost(string, tag = "3")]
    pub hostname: String,
    /// Every address that a connection of the pod may use.
    #[prost(message, repeated, tag = "4")]
    pub addresses: Vec<PodAddress>,
    /// Its containers, in the order of the pod's spec.
    #[prost(message, repeated, tag = "5")]
    pub containers: Vec<ContainerEntry>,
}

/// The name of a container, in the messages that need no more.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ContainerName {
    /// Its name in the pod's spec.
    #[prost(string, tag = "1")]
    pub container: String,
}

impl ContainerName {
    /// The name.
    pub fn new(container: impl Into<String>) -> Self {
        Self {
            container: container.into(),
        }
    }
}

/// Start of an object as it is on the wire; [`crate::ObjectSpec`] is what programs use.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ObjectStart {
    /// Stream of its data frames: 1, 2, 3… in each session.
    #[prost(uint32, tag = "1")]
    pub id: u32,
    /// 1: CRIU image, 2: base copy of files, 3: changes of files, 4: descriptors, 5: pages of memory.
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    /// Container; empty: the pod's own.
    #[prost(string, tag = "3")]
    pub container: String,
    /// File name of a CRIU image, number of the round of pages, empty else.
    #[prost(string, tag = "4")]
    pub name: String,
    /// Bytes expected; no promise.
    #[prost(uint64, tag = "5")]
    pub size_hint: u64,
    /// Permission bits.
    #[prost(uint32, tag = "6")]
    pub mode: u32,
}

/// End of an object.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ObjectEnd {
    /// Which.
    #[prost(uint32, tag = "1")]
    pub id: u32,
    /// Its length in bytes.
    #[prost(uint64, tag = "2")]
    pub len: u64,
    /// BLAKE3 of the checks of its data frames, 4 bytes each, in their order; 32 bytes.
    #[prost(bytes = "vec", tag = "4")]
    pub checks: Vec<u8>,
}

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

/// The user of a carried address has moved on.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct CarryMove {
    /// The carried address.
    #[prost(string, tag = "1")]
    pub address: String,
    /// Node where its user is now.
    #[prost(string, tag = "2")]
    pub new_node: String,
    /// `InternalIP` of that node.
    #[prost(string, tag = "3")]
    pub new_address: String,
}

/// A carried address is no longer in use.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct CarryEnded {
    /// The address.
    #[prost(string, tag = "1")]
    pub address: String,
}
