//! The little that must be known about CRIU's images: how they begin, which of them belong to a pod rather than to a container, and where a log says what
//! went wrong.

mod entries;
mod header;
pub mod log;
mod sizes;
mod sysv;
mod timers;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

pub use self::header::{Header, check};
pub use self::sysv::blank_sysv;

/// Mends what CRIU noted of open files, in one pass, for it is done in the freeze: takes what it noted of the content of those below one of these paths, as the
/// container sees them, and has periodic timers of which nothing was left come at once. Gives how many entries are others now. Nothing is changed if the
/// image is not what its name says.
pub fn mend_files(image_dir: &Path, below: &[PathBuf]) -> Result<usize, ImageError> {
    entries::rewrite(image_dir, |entry| match sizes::without_content(entry, below)? {
        Cow::Borrowed(entry) => timers::wound(entry),
        changed @ Cow::Owned(_) => Some(changed),
    })
}

/// Why an image could not be used.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It could not be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// `read`, `write` or `list`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// It does not begin as an image does.
    #[error("{path} is no CRIU image of the expected kind: it begins with {found}")]
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// Its first bytes in hexadecimal.
        found: String,
    },
    /// It is cut off, or holds something else.
    #[error("{path} cannot be read as a CRIU image")]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// There are more files than any dump makes.
    #[error("{path} holds more than {limit} files: this is no directory of CRIU images")]
    TooMany {
        /// The directory.
        path: PathBuf,
        /// How many are too many.
        limit: usize,
    },
}

impl ImageError {
    /// A stable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::File { .. } => "ImageUnusable",
            Self::NotAnImage { .. } | Self::Malformed { .. } | Self::TooMany { .. } => "ImageInvalid",
        }
    }

    fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
