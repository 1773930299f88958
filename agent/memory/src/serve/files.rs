//! The files in the server's directory. All are JSON, written by root alone, and whole when they are there at all.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ServeError;
use crate::causes::with_causes;

/// [`Config`], from the agent.
pub const CONFIG: &str = "serve.json";
/// [`Progress`], a few times in a second.
pub const PROGRESS: &str = "progress.json";
/// [`Checked`]: the restore is finished, and every page has a place. Without it the processes must not run.
pub const CHECKED: &str = "checked.json";
/// [`Done`]: every page is where it belongs, and the server has ended or is about to.
pub const DONE: &str = "done.json";
/// [`Failed`]: the restore cannot succeed. The server still serves what lives.
pub const FAILED: &str = "failed.json";
/// No file is larger.
const MAX_FILE: u64 = 64 * 1024;

/// What to serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// CRIU's images. Complete before CRIU connects.
    pub images: PathBuf,
    /// The page store. Complete before CRIU connects.
    pub store: PathBuf,
    /// `lazy-pages.socket` in the work directory of the restore. Once this path exists, CRIU may connect.
    pub socket: PathBuf,
    /// When CRIU must have connected and have said that the restore is finished, in milliseconds since 1970.
    pub deadline_ms: u64,
    /// How to serve.
    #[serde(default)]
    pub tuning: Tuning,
}

/// Sizes and numbers; see the figures in the documentation of [`serve`](super).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tuning {
    /// Bytes filled at once in the background; a fault may have to wait for as many.
    pub chunk: u64,
    /// The same shortly after a fault.
    pub chunk_busy: u64,
    /// Bytes filled behind a page that was touched.
    pub ahead: u64,
    /// Most bytes zeroed behind a touched page that was absent; grows up to this while touches follow each other.
    pub zero_ahead: u64,
    /// Threads that answer faults.
    pub fault_threads: usize,
    /// Threads that fill; none turns filling off.
    pub fill_threads: usize,
    /// Niceness of those (nice(2)), once they need not be gentle any more.
    pub fill_nice: i32,
    /// For so many milliseconds after the first descriptor has come those threads use idle processors only.
    pub gentle_ms: u64,
}

impl Default for Tuning {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            chunk: 256 * 1024,
            chunk_busy: 64 * 1024,
            ahead: 64 * 1024,
            zero_ahead: 2 * 1024 * 1024,
            fault_threads: 2,
            fill_threads: (cores / 2).clamp(1, 4),
            fill_nice: 5,
            gentle_ms: 1000,
        }
    }
}

/// How far the server is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The holder's process on the node.
    pub holder: i32,
    /// The worker's process on the node.
    pub worker: i32,
    /// Workers started so far; more than one means that one was killed.
    pub workers: u32,
    /// Whether CRIU said that the restore is finished.
    pub restored: bool,
    /// Address spaces that still lack pages, forked ones included.
    pub spaces: u64,
    /// Bytes of lazy pages that were announced.
    pub bytes_total: u64,
    /// Bytes that are missing somewhere.
    pub bytes_left: u64,
    /// Touches of pages that were due.
    pub faults: u64,
    /// Touches of pages that never were.
    pub zero_faults: u64,
    /// Pages that could not be placed, because CRIU registered no memory there.
    pub unplaced: u64,
    /// How long nothing has moved though something is left, in milliseconds.
    pub stalled_ms: u64,
    /// The last obstacle, if one is in the way ("no memory in the container's control group", …).
    pub obstacle: Option<String>,
    /// When this was written, in milliseconds since 1970.
    pub unix_ms: u64,
}

/// What was found when the restore was finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Mappings with pages that were due, and that were looked at.
    pub mappings: u64,
    /// Those among them that CRIU had not registered, and that were registered and filled.
    pub mended: u64,
    /// How long that took, in microseconds.
    pub took_us: u64,
}

/// The result of a server that did its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The last progress.
    pub progress: Progress,
    /// From CRIU's connection to the end, in milliseconds; of the last worker only if one was killed.
    pub elapsed_ms: u64,
}

/// Why the restore cannot succeed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// A stable reason in `PascalCase`.
    pub reason: String,
    /// What happened.
    pub message: String,
}

impl Failed {
    /// What an error says, with its causes.
    pub fn new(error: &ServeError) -> Self {
        Self {
            reason: error.reason().to_owned(),
            message: with_causes(error),
        }
    }
}

/// Reads a file of the directory; `None` if there is none. It must belong to the caller or root, with nobody else allowed to write it.
pub fn read<T: DeserializeOwned>(dir: &Path, name: &str) -> Result<Option<T>, ServeError> {
    let path = dir.join(name);
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ServeError::io("open", &path, source)),
    };
    let stat = file
        .metadata()
        .map_err(|source| ServeError::io("look up", &path, source))?;
    let own = nix::unistd::geteuid().as_raw();
    if !stat.is_file() || stat.mode() & 0o022 != 0 || (stat.uid() != own && stat.uid() != 0) {
        return Err(ServeError::Untrusted { path });
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE)
        .read_to_end(&mut bytes)
        .map_err(|source| ServeError::io("read", &path, source))?;
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|source| ServeError::Malformed { path, source })
}

/// Writes a file of the directory (0600); a reader sees the old one or the new one.
pub fn write<T: Serialize>(dir: &Path, name: &str, value: &T) -> Result<(), ServeError> {
    let path = dir.join(name);
    let temporary = dir.join(format!(".{name}.{}", std::process::id()));
    let bytes = serde_json::to_vec(value).map_err(|source| ServeError::Malformed {
        path: path.clone(),
        source,
    })?;
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&temporary)
        .and_then(|mut file| file.write_all(&bytes))
        .and_then(|()| std::fs::rename(&temporary, &path));
    written.map_err(|source| ServeError::io("write", &path, source))
}
