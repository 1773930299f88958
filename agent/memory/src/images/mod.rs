//! Which pages CRIU expects later.
//!
//! A dump leaves, per process, `pagemap-PID.img` (which pages there are and how they travel) and `mm-PID.img` (its mappings);
//! `pstree.img` names the processes. Each file is 8 bytes of magic numbers followed by frames `{u32 length, protobuf}` in the byte order
//! of the machine (CRIU: `criu/image.c`, `images/*.proto`). Everything here is bounded, because the files come from another node.

mod frames;
mod messages;
mod process;

use std::path::{Path, PathBuf};

pub use process::{LazyProcess, MAX_ENTRIES, Mapping, lazy_process};

/// No image file of this kind is larger; a larger one is refused unread.
pub const MAX_FILE: u64 = 256 * 1024 * 1024;
/// No tree has more processes.
pub const MAX_PROCESSES: usize = 65_536;

/// Why images cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file cannot be read.
    #[error("cannot read {path}", path = path.display())]
    Io {
        /// The image file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A file is larger than [`MAX_FILE`].
    #[error("{path} is larger than 256 MiB", path = path.display())]
    TooLarge {
        /// The image file.
        path: PathBuf,
    },
    /// A file has more entries than anyone needs.
    #[error("{path} has more than {limit} entries", path = path.display())]
    TooMany {
        /// The image file.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
    /// A file is not what its name promises.
    #[error("{path} is no such image: {why}", path = path.display())]
    Malformed {
        /// The image file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A frame is not the message expected.
    #[error("{path} has a broken frame", path = path.display())]
    Frame {
        /// The image file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: prost::DecodeError,
    },
}

impl ImageError {
    /// The stable reason of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Io { .. } => "ImageUnreadable",
            Self::TooLarge { .. } | Self::TooMany { .. } => "ImageTooLarge",
            Self::Malformed { .. } | Self::Frame { .. } => "ImageMalformed",
        }
    }
}

/// The processes of a dump that have memory (zombies have none), in the order of the tree, each with its lazy pages.
///
/// `dir` is the image directory. Reads two files per process; the ranges are sorted, do not overlap, and cross no end of a mapping.
pub fn lazy_pages(dir: &Path) -> Result<Vec<LazyProcess>, ImageError> {
    let mut found = Vec::new();
    for ns_pid in process_ids(dir)? {
        if let Some(process) = lazy_process(dir, ns_pid)? {
            found.push(process);
        }
    }
    Ok(found)
}

/// The processes of a dump, zombies too, as their PIDs in the container.
pub fn process_ids(dir: &Path) -> Result<Vec<i32>, ImageError> {
    let path = dir.join("pstree.img");
    let bytes = frames::load(&path)?;
    let mut pids = Vec::new();
    for frame in frames::frames(&path, &bytes, frames::PSTREE)? {
        let entry: messages::PstreeEntry = frames::decode(&path, frame?)?;
        let pid = entry
            .pid
            .and_then(|pid| i32::try_from(pid).ok())
            .filter(|pid| *pid > 0)
            .ok_or_else(|| malformed(&path, "a process has no PID"))?;
        if pids.len() == MAX_PROCESSES {
            return Err(ImageError::TooMany {
                path,
                limit: MAX_PROCESSES,
            });
        }
        pids.push(pid);
    }
    Ok(pids)
}

fn malformed(path: &Path, why: &'static str) -> ImageError {
    ImageError::Malformed {
        path: path.to_path_buf(),
        why,
    }
}

#[cfg(test)]
mod tests;
