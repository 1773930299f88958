//! Where Godwit's files lie on a node.
//!
//! Every path is a function of a root prefix: `""` for programs that run on the node itself, `/proc/1/root` for the agent, which
//! lives in a container of its own.

use std::path::{Path, PathBuf};

/// Why a path cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// A name from outside would leave its directory or is too long for a file name.
    #[error(
        "{what} {name:?} cannot be a file name: it must be 1 to 253 of the characters A-Z a-z 0-9 . _ - and not begin with a dot"
    )]
    BadName {
        /// What the name stands for, e.g. "pod UID".
        what: &'static str,
        /// The name, cut to 64 characters.
        name: String,
    },
}

impl LayoutError {
    /// The stable reason of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BadName { .. } => "BadName",
        }
    }
}

/// The paths of one node, as seen through a root prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// Takes the prefix under which the node's root is seen: `""` or `/` on the node, `/proc/1/root` in the agent.
    pub fn new(prefix: &Path) -> Self {
        let root = if prefix.as_os_str().is_empty() {
            PathBuf::from("/")
        } else {
            prefix.to_path_buf()
        };
        Self { root }
    }

    /// The prefix itself (`/` for an empty one).
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `/var/lib/godwit`: what outlives a reboot. Root's alone (0700).
    pub fn state_dir(&self) -> PathBuf {
        self.root.join("var/lib/godwit")
    }

    /// The directory of the wrapper and the park binary.
    pub fn bin_dir(&self) -> PathBuf {
        self.state_dir().join("bin")
    }

    /// The OCI runtime that containerd's `BinaryName` names.
    pub fn runtime_binary(&self) -> PathBuf {
        self.bin_dir().join("godwit-runtime")
    }

    /// What gives a restored container its memory.
    pub fn pages_binary(&self) -> PathBuf {
        self.bin_dir().join("godwit-pages")
    }

    /// What a parking init container runs.
    pub fn park_binary(&self) -> PathBuf {
        self.bin_dir().join("godwit-park")
    }

    /// The directory that stands first in `PATH` for runc's checkpoint and restore, so that runc finds the relay as `criu`.
    pub fn criu_dir(&self) -> PathBuf {
        self.state_dir().join("criu")
    }

    /// The relay, under the name by which runc looks for it.
    pub fn criu_relay(&self) -> PathBuf {
        self.criu_dir().join("criu")
    }

    /// CRIU's configuration file for our calls (`CRIU_CONFIG_FILE`).
    pub fn criu_config(&self) -> PathBuf {
        self.criu_dir().join("godwit.conf")
    }

    /// The directory of the real CRIU, its loader and libraries.
    pub fn real_criu_dir(&self) -> PathBuf {
        self.criu_dir().join("real")
    }

    /// The real CRIU.
    pub fn real_criu(&self) -> PathBuf {
        self.real_criu_dir().join("criu")
    }

    /// The loader that the real CRIU is run by. Where it is missing the real CRIU is run directly.
    pub fn real_loader(&self) -> PathBuf {
        self.real_criu_dir().join("ld.so")
    }

    /// The libraries of the real CRIU.
    pub fn real_libraries(&self) -> PathBuf {
        self.real_criu_dir().join("lib")
    }

    /// The agent's journal.
    pub fn journal_dir(&self) -> PathBuf {
        self.state_dir().join("journal")
    }

    /// Records of carried addresses.
    pub fn carry_dir(&self) -> PathBuf {
        self.state_dir().join("carry")
    }

    /// `/run/godwit`: what a reboot ends. Root's alone (0700), in memory.
    pub fn run_dir(&self) -> PathBuf {
        self.root.join("run/godwit")
    }

    /// Records of the containers that are to be restored.
    pub fn records_dir(&self) -> PathBuf {
        self.run_dir().join("records")
    }

    /// All records of one pod; the pod UID must be a plain file name.
    pub fn pod_records_dir(&self, pod_uid: &str) -> Result<PathBuf, LayoutError> {
        Ok(self.records_dir().join(plain("pod UID", pod_uid)?))
    }

    /// The record directory of one container of a pod; both names must be plain file names.
    pub fn record_dir(&self, pod_uid: &str, container: &str) -> Result<PathBuf, LayoutError> {
        Ok(self
            .pod_records_dir(pod_uid)?
            .join(plain("container name", container)?))
    }

    /// Marks of restored containers.
    pub fn ids_dir(&self) -> PathBuf {
        self.run_dir().join("ids")
    }

    /// The mark of one restored container by its runtime ID.
    pub fn id_file(&self, id: &str) -> Result<PathBuf, LayoutError> {
        Ok(self.ids_dir().join(plain("container ID", id)?))
    }

    /// Gate directories of the dumps at a source.
    pub fn gates_dir(&self) -> PathBuf {
        self.run_dir().join("gates")
    }

    /// The gate directory of one dump: by migration UID and container name.
    pub fn gate_dir(&self, migration: &str, container: &str) -> Result<PathBuf, LayoutError> {
        Ok(self
            .gates_dir()
            .join(plain("migration UID", migration)?)
            .join(plain("container name", container)?))
    }

    /// CRIU's images.
    pub fn images_dir(&self) -> PathBuf {
        self.run_dir().join("images")
    }

    /// The images of one container: at the source by the migration's UID, at the target by the target pod's, for both may be on one node.
    pub fn image_dir(&self, side: &str, container: &str) -> Result<PathBuf, LayoutError> {
        Ok(self
            .images_dir()
            .join(plain("UID", side)?)
            .join(plain("container name", container)?))
    }
}

/// Gives `name` back if it is a plain file name: no slash, no leading dot, 1 to 253 characters of a small set.
fn plain<'a>(what: &'static str, name: &'a str) -> Result<&'a str, LayoutError> {
    let fits = (1..=253).contains(&name.len())
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    if fits {
        Ok(name)
    } else {
        Err(LayoutError::BadName {
            what,
            name: name.chars().take(64).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_prefix_is_the_root() {
        let layout = Layout::new(Path::new(""));
        assert_eq!(
            layout.runtime_binary(),
            Path::new("/var/lib/godwit/bin/godwit-runtime")
        );
        assert_eq!(layout.criu_relay(), Path::new("/var/lib/godwit/criu/criu"));
    }

    #[test]
    fn a_prefix_comes_first() {
        let layout = Layout::new(Path::new("/proc/1/root"));
        assert_eq!(
            layout.record_dir("8a-1", "redis").unwrap(),
            Path::new("/proc/1/root/run/godwit/records/8a-1/redis")
        );
    }

    #[test]
    fn names_cannot_leave_their_directory() {
        let layout = Layout::new(Path::new(""));
        for bad in ["", ".", "..", "../x", "a/b", "a\0b", ".hidden", "ä"] {
            assert_eq!(
                layout.record_dir(bad, "redis").unwrap_err().reason(),
                "BadName",
                "{bad:?}"
            );
            assert!(layout.record_dir("uid", bad).is_err(), "{bad:?}");
            assert!(layout.id_file(bad).is_err(), "{bad:?}");
        }
        assert!(layout.id_file(&"a".repeat(254)).is_err());
    }
}
