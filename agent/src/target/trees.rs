//! Files that are written before the processes that expect them exist.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use godwit_files::{ApplyState, Limits, Target, apply};
use godwit_runtime::record::Parked;
use godwit_transfer::Pass;
use serde::Deserialize;
use thiserror::Error;
use tokio::task;

use super::inbox::tree;
use crate::{files::SHARED_MEMORY, node::Node};

/// A bundle's `config.json` is a few tens of kilobytes.
const MAX_CONFIG: u64 = 4 << 20;

/// Why a tree could not be written.
#[derive(Debug, Error)]
pub(crate) enum TreesError {
    /// The stream, or the file system it goes to.
    #[error("the files of {what} could not be written")]
    Apply {
        /// Which container, or the shared memory.
        what: String,
        /// Why.
        source: godwit_files::Error,
    },
    /// A file of ours.
    #[error("{} cannot be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bundle's configuration.
    #[error("{} is not the configuration of a container", path.display())]
    Config {
        /// Which.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// The writing thread.
    #[error("the thread that writes files has ended before its time")]
    Thread,
}

impl TreesError {
    /// Stable reason.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Apply { source, .. } => source.reason(),
            Self::Read { .. } => "FilesUnreadable",
            Self::Config { .. } => "BundleUnreadable",
            Self::Thread => "Internal",
        }
    }
}

/// A tree at the target, between its base and its changes.
pub(super) struct Tree {
    container: Option<String>,
    root: PathBuf,
    state: ApplyState,
}

impl Tree {
    /// The root file system of a container that is parked.
    pub(super) fn layer(node: &Node, container: &str, parked: &Parked) -> Self {
        Self {
            container: Some(container.to_owned()),
            root: node.seen(&parked.rootfs),
            state: ApplyState::new(Limits::default()),
        }
    }

    /// The pod's shared memory files, as a container with these mounts will see them; `None` if it has none.
    pub(super) fn shared_memory(node: &Node, mounts: &[Mount]) -> Option<Self> {
        shared_memory_of(mounts).map(|source| Self {
            container: None,
            root: node.seen(source),
            state: ApplyState::new(Limits::default()),
        })
    }

    /// Applies what has arrived of one pass, if anything has; `directory` is the inbox's.
    pub(super) async fn apply(mut self, directory: &Path, pass: Pass) -> Result<Self, TreesError> {
        let path = tree(directory, self.container.as_deref(), pass);
        task::spawn_blocking(move || {
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(self),
                Err(source) => return Err(TreesError::Read { path, source }),
            };
            let what = self.container.clone().unwrap_or_else(|| SHARED_MEMORY.to_owned());
            let stats = Target::open(&self.root)
                .and_then(|target| {
                    apply(
                        &mut BufReader::with_capacity(1 << 18, file),
                        &target,
                        &mut self.state,
                    )
                })
                .map_err(|source| TreesError::Apply {
                    what: what.clone(),
                    source,
                })?;
            tracing::info!(
                what,
                ?pass,
                entries = stats.entries,
                bytes = stats.bytes,
                "files applied"
            );
            // It is a copy in memory; the freeze needs that memory for something else.
            let _ = std::fs::remove_file(&path);
            Ok(self)
        })
        .await
        .map_err(|_| TreesError::Thread)?
    }
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    mounts: Vec<Mount>,
}

#[derive(Deserialize)]
pub(super) struct Mount {
    pub(super) destination: PathBuf,
    #[serde(default)]
    pub(super) source: PathBuf,
    #[serde(default, rename = "type")]
    pub(super) kind: String,
}

/// What is bound at `/dev/shm`; nothing for a container whose shared memory is a file system of its own, which CRIU takes along.
fn shared_memory_of(mounts: &[Mount]) -> Option<&Path> {
    let mut mounts = mounts.iter();
    let found = mounts.find(|mount| mount.destination == Path::new(SHARED_MEMORY));
    found
        .filter(|mount| mount.kind == "bind")
        .map(|mount| mount.source.as_path())
}

/// What the container that is parked is to have mounted.
pub(super) fn mounts_of(node: &Node, parked: &Parked) -> Result<Vec<Mount>, TreesError> {
    mounts_in(&node.seen(&parked.bundle.join("config.json")))
}

fn mounts_in(config: &Path) -> Result<Vec<Mount>, TreesError> {
    let read = |source| TreesError::Read {
        path: config.to_owned(),
        source,
    };
    if std::fs::metadata(config).map_err(read)?.len() > MAX_CONFIG {
        return Err(read(std::io::Error::other("it is far too large")));
    }
    let text = std::fs::read(config).map_err(read)?;
    let parsed: Config = serde_json::from_slice(&text).map_err(|source| TreesError::Config {
        path: config.to_owned(),
        source,
    })?;
    Ok(parsed.mounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_memory_is_what_is_bound_there() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config.json");
        let with = |mounts: &str| {
            std::fs::write(&config, format!("{{\"mounts\":[{mounts}]}}")).unwrap();
            shared_memory_of(&mounts_in(&config).unwrap()).map(Path::to_path_buf)
        };
        let bound = r#"{"destination":"/dev/shm","type":"bind","source":"/run/sandbox/shm"}"#;
        assert_eq!(with(bound), Some(PathBuf::from("/run/sandbox/shm")));
        assert_eq!(
            with(r#"{"destination":"/dev/shm","type":"tmpfs","source":"shm"}"#),
            None
        );
        assert_eq!(
            with(r#"{"destination":"/proc","type":"proc","source":"proc"}"#),
            None
        );
    }
}
