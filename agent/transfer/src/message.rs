//! The messages of the control frames, as prost encodes them.
//!
//! Tags are for ever: a field that is given up leaves its number unused. Unknown fields are skipped, so a new optional
//! field needs no new version; a new message does.

mod carry;
mod host_files;
mod manifest;
mod object;
mod opening;
mod outcome;

use prost::Oneof;

pub use carry::{CarryEnded, CarryMove};
pub use host_files::{FileState, FoundFile, FoundFiles, WantedFile, WantedFiles, WantedSymbol};
pub use manifest::{Agreed, ContainerEntry, HostPath, Manifest, PodAddress};
pub use object::{ObjectEnd, ObjectStart};
pub use opening::{Abort, Hello, Nonce, Refuse, Role, Welcome};
pub use outcome::{Committed, RestoreFailed, Restored, Running, Verdict, VerdictAnswer};

/// What a control frame holds.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Envelope {
    #[prost(
        oneof = "Message",
        tags = "1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 30, 31, 40, 41, 42, 50, 60, 61"
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
    ManifestOk(Agreed),
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
    /// Target, on a lane: the pages of these objects are kept.
    #[prost(message, tag = "50")]
    Stored(Stored),
    /// Source: what is on your node in the place of these files?
    #[prost(message, tag = "60")]
    WantedFiles(WantedFiles),
    /// Target: this.
    #[prost(message, tag = "61")]
    FoundFiles(FoundFiles),
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
            Self::Stored(_) => "Stored",
            Self::WantedFiles(_) => "WantedFiles",
            Self::FoundFiles(_) => "FoundFiles",
        }
    }
}

/// A message that says all by its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Empty {}

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

/// What of a lane is kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Stored {
    /// Number of the last object of which everything, and everything before it, is in the target's store.
    #[prost(uint32, tag = "1")]
    pub objects: u32,
}
