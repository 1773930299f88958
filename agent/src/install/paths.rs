//! Where everything lies on a node, seen through the prefix under which the agent has the host's root.

use std::path::{Path, PathBuf};

/// What of Godwit's survives a reboot, on the host.
pub const STATE: &str = "/var/lib/godwit";
/// What does not, on the host: records, gates and images in memory.
pub const RUN: &str = "/run/godwit";
/// Directories below [`RUN`].
pub const RUN_PARTS: [&str; 4] = ["records", "ids", "gates", "images"];
/// Directories below [`STATE`] whose content is the agent's own.
pub const STATE_PARTS: [&str; 2] = ["journal", "carry"];

/// A host path as seen by the agent.
pub fn under(root: &Path, path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    root.join(path.strip_prefix("/").unwrap_or(path))
}
