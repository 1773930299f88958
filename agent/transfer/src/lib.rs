//! The wire between two agents, sans I/O.
//!
//! Bytes become [`Frame`]s ([`Decoder`]), frames become [`Event`]s ([`Session`]); and messages and chunks of objects
//! become frames again. Nothing here opens a socket, reads a clock or knows Kubernetes or CRIU, so that every rule of
//! the protocol can be tested by feeding bytes. `docs/protocol.md` is the protocol in words.

mod checks;
mod decode;
mod frame;
mod incoming;
mod limits;
mod message;
mod object;
mod outgoing;
pub mod session;
mod text;
mod validate;
mod version;

pub use decode::{DecodeError, Decoder};
pub use frame::{FRAME_VERSION, Frame, FrameKind, HEADER_LEN};
pub use incoming::ReceiveError;
pub use limits::{
    CHUNK_LEN, Limits, MAX_ADDRESSES, MAX_CONTAINERS, MAX_CONTROL_LEN, MAX_FRAME_LEN, MAX_HOST_PATH,
    MAX_LANES, MAX_MESSAGE_TEXT, MAX_OBJECT_NAME, MAX_OTHER_FILES, MAX_OTHER_FILES_LEN, MAX_SYMBOL,
    MAX_UNSTORED, MAX_VOLUMES, MAX_WANTED_FILES, MAX_WANTED_SYMBOLS,
};
pub use message::{
    Abort, Agreed, CarryEnded, CarryMove, Committed, ContainerEntry, ContainerName, Empty, FileState,
    FoundFile, FoundFiles, Hello, HostPath, Manifest, Message, Nonce, ObjectEnd, ObjectStart, PodAddress,
    Refuse, RestoreFailed, Restored, Role, Running, Stored, Verdict, VerdictAnswer, WantedFile, WantedFiles,
    WantedSymbol, Welcome,
};
pub use object::{ObjectError, ObjectId, ObjectKind, ObjectSpec, Pass};
pub use outgoing::SendError;
pub use session::{Event, Inbound, Outbound, Party, Session, SessionError};
pub use validate::MessageError;
pub use version::{PROTOCOL_VERSIONS, VersionError, negotiate};
