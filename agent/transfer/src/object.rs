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
    /// The same for a volume of the pod.
    Volume {
        /// Its name in the pod's spec.
        volume: String,
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
    /// The next whole lines of a container's log, as they are in the file.
    Log {
        /// The container.
        container: String,
        /// Which pass of the copy, from 1; each goes on where the one before has ended.
        pass: u32,
    },
}

impl ObjectKind {
    /// The container it belongs to, `None` for what is the pod's own.
    pub fn container(&self) -> Option<&str> {
        match self {
            Self::CriuImage { container, .. }
            | Self::Pages { container, .. }
            | Self::Descriptors { container }
            | Self::Log { container, .. } => Some(container),
            Self::FileStream { container, .. } => container.as_deref(),
            Self::Volume { .. } => None,
        }
    }

    /// True for what `ImagesComplete` covers.
    pub(crate) fn is_image(&self) -> bool {
        !matches!(
            self,
            Self::FileStream { .. } | Self::Volume { .. } | Self::Log { .. }
        )
    }

    /// True for what comes again: a volume is copied in rounds until the freeze.
    pub(crate) fn comes_in_rounds(&self) -> bool {
        matches!(self, Self::Volume { pass: Pass::Base, .. })
    }

    /// The pass, of files.
    pub(crate) fn pass(&self) -> Option<Pass> {
        match self {
            Self::FileStream { pass, .. } | Self::Volume { pass, .. } => Some(*pass),
            _ => None,
        }
    }

    /// True for a part of a log, which nothing is declared complete for: a pod is whole without it.
    pub(crate) fn is_log(&self) -> bool {
        matches!(self, Self::Log { .. })
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
            ObjectKind::Volume {
                volume,
                pass: Pass::Base,
            } => (6, "", volume.as_str()),
            ObjectKind::Volume {
                volume,
                pass: Pass::Delta,
            } => (7, "", volume.as_str()),
            ObjectKind::Log { container, pass } => {
                round = pass.to_string();
                (9, container.as_str(), round.as_str())
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
        let volume = |pass| {
            if !start.container.is_empty() {
                return Err(ObjectError::Container);
            }
            let volume = is_label(&start.name)
                .then(|| start.name.clone())
                .ok_or(ObjectError::Name)?;
            Ok(ObjectKind::Volume { volume, pass })
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
            6 => volume(Pass::Base)?,
            7 => volume(Pass::Delta)?,
            9 => ObjectKind::Log {
                container: named()?,
                pass: round_of(&start.name).ok_or(ObjectError::Name)?,
            },
            kind => return Err(ObjectError::Kind(kind)),
        };
        let has_name = matches!(
            kind,
            ObjectKind::CriuImage { .. }
                | ObjectKind::Pages { .. }
                | ObjectKind::Volume { .. }
                | ObjectKind::Log { .. }
        );
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

/// The number of a round or pass, written in just one way.
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
    fn pages_keep_their_round_and_logs_their_pass() {
        let pages = ObjectKind::Pages {
            container: "redis".to_owned(),
            round: 17,
        };
        let log = ObjectKind::Log {
            container: "redis".to_owned(),
            pass: 17,
        };
        for spec in [pages, log].map(ObjectSpec::new) {
            keeps_its_number(&spec);
        }
    }

    fn keeps_its_number(spec: &ObjectSpec) {
        let wire = spec.to_wire(ObjectId(3));
        assert_eq!(ObjectSpec::from_wire(&wire), Ok((ObjectId(3), spec.clone())));
        for name in ["", "0", "017", "+17", "4294967296", "x"] {
            let wire = ObjectStart {
                name: name.to_owned(),
                ..wire.clone()
            };
            assert_eq!(ObjectSpec::from_wire(&wire), Err(ObjectError::Name), "{name}");
        }
    }

    #[test]
    fn volumes_are_named_and_nothing_else() {
        for pass in [Pass::Base, Pass::Delta] {
            let spec = ObjectSpec::new(ObjectKind::Volume {
                volume: "scratch-1".to_owned(),
                pass,
            });
            let wire = spec.to_wire(ObjectId(3));
            assert_eq!(ObjectSpec::from_wire(&wire), Ok((ObjectId(3), spec)));
            for name in ["", ".", "..", "a/b", "../a", "a.b", "A", "-a", &"a".repeat(64)] {
                let wire = ObjectStart {
                    name: name.to_owned(),
                    ..wire.clone()
                };
                assert_eq!(ObjectSpec::from_wire(&wire), Err(ObjectError::Name), "{name}");
            }
            let wire = ObjectStart {
                container: "app".to_owned(),
                ..wire
            };
            assert_eq!(ObjectSpec::from_wire(&wire), Err(ObjectError::Container));
        }
    }
}
