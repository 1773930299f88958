//! What an object is: bytes with a kind and a place.

use std::fmt;

use thiserror::Error;

use crate::message::ObjectStart;
use crate::text::{is_label, is_object_name};

/// Number of an object in its session, from 1; the stream of its data frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectId(pub(crate) u32);

impl ObjectId {
    /// The number.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}", self.0)
    }
}

/// Which pass of a copy of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pass {
    /// Everything, while the source runs.
    Base,
    /// What has changed since, in the freeze.
    Delta,
}

/// What an object holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKind {
    /// A file of a container's CRIU image.
    CriuImage {
        /// The container.
        container: String,
        /// File name in the image directory; checked: no separator, no dot in front.
        name: String,
    },
    /// A stream of files as `godwit-files` writes it.
    FileStream {
        /// The container; `None`: the pod's shared memory.
        container: Option<String>,
        /// Which pass.
        pass: Pass,
    },
    /// Pages of a container's memory, each chunk one batch as `godwit-memory` writes it.
    Pages {
        /// The container.
        container: String,
        /// Which round of the copy, from 1.
        round: u32,
    },
    /// What the runtime has to know of a container's open descriptors (`descriptors.json`).
    Descriptors {
        /// The container.
        container: String,
    },
}

impl ObjectKind {
    /// The container it belongs to, `None` for what is the pod's own.
    pub fn container(&self) -> Option<&str> {
        match self {
            Self::CriuImage { container, .. }
            | Self::Pages { container, .. }
            | Self::Descriptors { container } => Some(container),
            Self::FileStream { container, .. } => container.as_deref(),
        }
    }

    /// True for what `ImagesComplete` covers, false for what `FilesComplete` does.
    pub(crate) fn is_image(&self) -> bool {
        !matches!(self, Self::FileStream { .. })
    }
}

/// An object before its first byte.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectSpec {
    /// What it holds.
    pub kind: ObjectKind,
    /// Bytes expected; 0: not known. No promise.
    pub size_hint: u64,
    /// Permission bits of the file that it becomes, at most 0o777.
    pub mode: u32,
}

impl ObjectSpec {
    /// An object of unknown size that only root may read, as everything of a migration should be.
    pub fn new(kind: ObjectKind) -> Self {
        Self {
            kind,
            size_hint: 0,
            mode: 0o600,
        }
    }

    /// The same with the number of bytes to expect.
    #[must_use]
    pub fn with_size_hint(mut self, bytes: u64) -> Self {
        self.size_hint = bytes;
        self
    }

    pub(crate) fn to_wire(&self, id: ObjectId) -> ObjectStart {
        let round;
        let (kind, container, name) = match &self.kind {
            ObjectKind::CriuImage { container, name } => (1, container.as_str(), name.as_str()),
            ObjectKind::FileStream {
                container,
                pass: Pass::Base,
            } => (2, container.as_deref().unwrap_or(""), ""),
            ObjectKind::FileStream {
                container,
                pass: Pass::Delta,
            } => (3, container.as_deref().unwrap_or(""), ""),
            ObjectKind::Descriptors { container } => (4, container.as_str(), ""),
            ObjectKind::Pages {
                container,
                round: number,
            } => {
                round = number.to_string();
                (5, container.as_str(), round.as_str())
            }
        };
        ObjectStart {
            id: id.0,
            kind,
            container: container.to_owned(),
            name: name.to_owned(),
            size_hint: self.size_hint,
            mode: self.mode,
        }
    }

    pub(crate) fn from_wire(start: &ObjectStart) -> Result<(ObjectId, Self), ObjectError> {
        if start.id == 0 {
            return Err(ObjectError::Id);
        }
        let named = || {
            is_label(&start.container)
                .then(|| start.container.clone())
                .ok_or(ObjectError::Container)
        };
        let stream = |pass| {
            let container = if start.container.is_empty() {
                None
            } else {
                Some(named()?)
            };
            Ok(ObjectKind::FileStream { container, pass })
        };
        let kind = match start.kind {
            1 if !is_object_name(&start.name) => return Err(ObjectError::Name),
            1 => ObjectKind::CriuImage {
                container: named()?,
                name: start.name.clone(),
            },
            2 => stream(Pass::Base)?,
            3 => stream(Pass::Delta)?,
            4 => ObjectKind::Descriptors { container: named()? },
            5 => ObjectKind::Pages {
                container: named()?,
                round: round_of(&start.name).ok_or(ObjectError::Name)?,
            },
            kind => return Err(ObjectError::Kind(kind)),
        };
        let has_name = matches!(kind, ObjectKind::CriuImage { .. } | ObjectKind::Pages { .. });
        if !has_name && !start.name.is_empty() {
            return Err(ObjectError::Name);
        }
        if start.mode > 0o777 {
            return Err(ObjectError::Mode(start.mode));
        }
        Ok((
            ObjectId(start.id),
            Self {
                kind,
                size_hint: start.size_hint,
                mode: start.mode,
            },
        ))
    }
}

/// The number of a round, written in just one way.
fn round_of(name: &str) -> Option<u32> {
    let round: u32 = name.parse().ok()?;
    (round > 0 && round.to_string() == name).then_some(round)
}

/// Why an object cannot be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ObjectError {
    /// Objects count from 1.
    #[error("object with the number 0")]
    Id,
    /// Unknown kind.
    #[error("object of the unknown kind {0}")]
    Kind(u32),
    /// A name that is not a plain file name, or one where none belongs.
    #[error("object whose name is not a plain file name")]
    Name,
    /// Not the name of a container.
    #[error("object whose container is not a container's name")]
    Container,
    /// More than permission bits.
    #[error("object with mode {0:o}, which is more than permissions")]
    Mode(u32),
}

impl ObjectError {
    /// Stable name.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Id => "ObjectId",
            Self::Kind(_) => "ObjectKind",
            Self::Name => "ObjectName",
            Self::Container => "ObjectContainer",
            Self::Mode(_) => "ObjectMode",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_keep_their_round() {
        let spec = ObjectSpec::new(ObjectKind::Pages {
            container: "redis".to_owned(),
            round: 17,
        });
        let wire = spec.to_wire(ObjectId(3));
        assert_eq!(ObjectSpec::from_wire(&wire), Ok((ObjectId(3), spec)));
        for name in ["", "0", "017", "+17", "4294967296", "x"] {
            let wire = ObjectStart {
                name: name.to_owned(),
                ..wire.clone()
            };
            assert_eq!(ObjectSpec::from_wire(&wire), Err(ObjectError::Name), "{name}");
        }
    }
}
