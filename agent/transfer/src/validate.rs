//! Bounds of what a message says, checked on both sides: a message that we may not send is our own mistake.

use std::net::IpAddr;
use std::path::{Component, Path};

use prost::Message as _;
use thiserror::Error;

use crate::limits::{
    MAX_ADDRESSES, MAX_CONTAINERS, MAX_CONTROL_LEN, MAX_HOST_PATH, MAX_HOST_PATHS, MAX_MESSAGE_TEXT,
    MAX_OTHER_FILES, MAX_OTHER_FILES_LEN, MAX_SYMBOL, MAX_VOLUMES, MAX_WANTED_FILES, MAX_WANTED_SYMBOLS,
};
use crate::message::{
    Envelope, FileState, FoundFile, HostPath, Manifest, Message, PodAddress, Role, VerdictAnswer, WantedFile,
};
use crate::object::{ObjectError, ObjectSpec};
use crate::text::{is_label, is_reason, is_subdomain, is_uid};

/// A message that does not hold what it should.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MessageError {
    /// Not an encoded message.
    #[error("a control frame does not hold a message")]
    Malformed,
    /// A message of a newer release.
    #[error("a control frame holds a message that this release does not know")]
    Unknown,
    /// A field is out of bounds.
    #[error("{message}: {field} is missing, too long or not of the right form")]
    Field {
        /// Name of the message.
        message: &'static str,
        /// Name of the field.
        field: &'static str,
    },
    /// The message does not fit into a control frame.
    #[error("{message} takes {len} bytes, at most {MAX_CONTROL_LEN} are allowed")]
    TooLong {
        /// Name of the message.
        message: &'static str,
        /// Its length in bytes.
        len: usize,
    },
    /// An object that cannot be.
    #[error("ObjectStart describes no valid object")]
    Object(#[source] ObjectError),
}

impl MessageError {
    /// Stable name.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "MalformedMessage",
            Self::Unknown => "UnknownMessage",
            Self::Field { .. } => "MessageField",
            Self::TooLong { .. } => "MessageTooLong",
            Self::Object(error) => error.reason(),
        }
    }
}

/// The payload of a control frame.
pub(crate) fn encode(message: &Message) -> Result<Vec<u8>, MessageError> {
    check(message)?;
    let envelope = Envelope {
        message: Some(message.clone()),
    };
    let len = envelope.encoded_len();
    if len > MAX_CONTROL_LEN {
        return Err(MessageError::TooLong {
            message: message.name(),
            len,
        });
    }
    Ok(envelope.encode_to_vec())
}

/// The message in the payload of a control frame.
pub(crate) fn decode(payload: &[u8]) -> Result<Message, MessageError> {
    let envelope = Envelope::decode(payload).map_err(|_| MessageError::Malformed)?;
    let message = envelope.message.ok_or(MessageError::Unknown)?;
    check(&message)?;
    Ok(message)
}

fn check(message: &Message) -> Result<(), MessageError> {
    let field = |good: bool, field: &'static str| {
        if good {
            Ok(())
        } else {
            Err(MessageError::Field {
                message: message.name(),
                field,
            })
        }
    };
    let text = |text: &str| field(text.len() <= MAX_MESSAGE_TEXT, "message");
    match message {
        Message::Hello(hello) => {
            field(
                hello.min_version >= 1 && hello.min_version <= hello.max_version,
                "version",
            )?;
            field(
                Role::try_from(hello.role).is_ok_and(|role| role != Role::Unspecified),
                "role",
            )?;
            field(is_uid(&hello.migration_uid), "migration_uid")?;
            field(is_subdomain(&hello.node), "node")
        }
        Message::Welcome(welcome) => field(welcome.version >= 1, "version"),
        Message::Refuse(refuse) => {
            field(is_reason(&refuse.reason), "reason")?;
            text(&refuse.message)
        }
        Message::Abort(abort) => {
            field(is_reason(&abort.step), "step")?;
            field(is_reason(&abort.reason), "reason")?;
            text(&abort.message)
        }
        Message::Manifest(manifest) => check_manifest(manifest, field),
        Message::ObjectStart(start) => ObjectSpec::from_wire(start)
            .map(drop)
            .map_err(MessageError::Object),
        Message::ObjectEnd(end) => {
            field(end.id != 0, "id")?;
            field(end.checks.len() == 32, "checks")
        }
        Message::Parked(name) | Message::ImagesComplete(name) | Message::FilesComplete(name) => {
            field(is_label(&name.container), "container")
        }
        Message::Restored(restored) => {
            field(is_label(&restored.container), "container")?;
            field(restored.pid != 0, "pid")
        }
        Message::RestoreFailed(failed) => {
            field(is_label(&failed.container), "container")?;
            field(is_reason(&failed.reason), "reason")?;
            text(&failed.message)
        }
        Message::Committed(committed) => field(are_addresses(&committed.addresses), "addresses"),
        Message::Running(running) => field(are_addresses(&running.carried), "carried"),
        Message::Verdict(verdict) => {
            let known = VerdictAnswer::try_from(verdict.verdict);
            field(
                known.is_ok_and(|verdict| verdict != VerdictAnswer::Unspecified),
                "verdict",
            )
        }
        Message::CarryMove(carry) => {
            field(is_address(&carry.address), "address")?;
            field(is_subdomain(&carry.new_node), "new_node")?;
            field(is_address(&carry.new_address), "new_address")
        }
        Message::CarryEnded(carry) => field(is_address(&carry.address), "address"),
        Message::Stored(stored) => field(stored.objects != 0, "objects"),
        Message::WantedFiles(wanted) => {
            let files = &wanted.files;
            field(
                !files.is_empty() && files.len() <= MAX_WANTED_FILES && files.iter().all(is_wanted_file),
                "files",
            )?;
            let symbols: usize = files.iter().map(|file| file.symbols.len()).sum();
            field(symbols <= MAX_WANTED_SYMBOLS, "files.symbols")
        }
        Message::FoundFiles(found) => {
            let files = &found.files;
            field(
                !files.is_empty() && files.len() <= MAX_WANTED_FILES && files.iter().all(is_found_file),
                "files",
            )
        }
        Message::Ping(_)
        | Message::Pong(_)
        | Message::AbortOk(_)
        | Message::ManifestOk(_)
        | Message::EndParking(_)
        | Message::SpawnReady(_)
        | Message::Frozen(_)
        | Message::Prepared(_)
        | Message::Released(_)
        | Message::VerdictRequest(_)
        | Message::CarryOk(_) => Ok(()),
    }
}

fn check_manifest(
    manifest: &Manifest,
    field: impl Fn(bool, &'static str) -> Result<(), MessageError>,
) -> Result<(), MessageError> {
    field(is_uid(&manifest.source_pod_uid), "source_pod_uid")?;
    field(is_uid(&manifest.target_pod_uid), "target_pod_uid")?;
    field(is_subdomain(&manifest.hostname), "hostname")?;
    let addresses = &manifest.addresses;
    let sound = |it: &PodAddress| {
        is_address(&it.address) && is_subdomain(&it.home_node) && is_address(&it.home_address)
    };
    field(
        addresses.len() <= MAX_ADDRESSES && addresses.iter().all(sound),
        "addresses",
    )?;
    let containers = &manifest.containers;
    field(
        !containers.is_empty() && containers.len() <= MAX_CONTAINERS,
        "containers",
    )?;
    for (index, container) in containers.iter().enumerate() {
        let once = containers[..index]
            .iter()
            .all(|other| other.name != container.name);
        field(once && is_label(&container.name), "containers.name")?;
        field(
            !container.image_id.is_empty() && container.image_id.len() <= 512,
            "containers.image_id",
        )?;
        field(container.runtime.len() <= 253, "containers.runtime")?;
        field(
            !container.image.is_empty() && container.image.len() <= 512,
            "containers.image",
        )?;
    }
    let volumes = &manifest.volumes;
    let sound = |(index, volume): (usize, &String)| is_label(volume) && !volumes[..index].contains(volume);
    field(
        volumes.len() <= MAX_VOLUMES && volumes.iter().enumerate().all(sound),
        "volumes",
    )?;
    let host_paths = &manifest.host_paths;
    field(
        host_paths.len() <= MAX_HOST_PATHS && host_paths.iter().all(is_host_path),
        "host_paths",
    )?;
    let other_files = &manifest.other_files;
    let length: usize = other_files.iter().map(String::len).sum();
    field(
        other_files.len() <= MAX_OTHER_FILES
            && length <= MAX_OTHER_FILES_LEN
            && other_files.iter().all(|path| is_plain_path(path)),
        "other_files",
    )
}

fn is_host_path(path: &HostPath) -> bool {
    is_plain_path(&path.path) && path.digest.len() == 32
}

/// Absolute, and without `..`.
fn is_plain_path(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    let is_plain = parts.all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    path.starts_with('/') && path.len() <= MAX_HOST_PATH && is_plain
}

fn is_wanted_file(file: &WantedFile) -> bool {
    let is_symbol = |text: &str| text.len() <= MAX_SYMBOL;
    is_plain_path(&file.path)
        && matches!(file.digest.len(), 0 | 32)
        && file
            .symbols
            .iter()
            .all(|symbol| !symbol.name.is_empty() && is_symbol(&symbol.name) && is_symbol(&symbol.version))
}

/// A build id is a hash of 8 to 32 bytes in practice (`ld(1)`, `--build-id`).
fn is_found_file(file: &FoundFile) -> bool {
    let known = FileState::try_from(file.state).is_ok_and(|state| state != FileState::Unspecified);
    known && file.build_id.len() <= 64 && file.lacks.len() <= MAX_WANTED_SYMBOLS
}

fn is_address(address: &str) -> bool {
    address.len() <= 45 && address.parse::<IpAddr>().is_ok()
}

fn are_addresses(addresses: &[String]) -> bool {
    addresses.len() <= MAX_ADDRESSES && addresses.iter().all(|address| is_address(address))
}
