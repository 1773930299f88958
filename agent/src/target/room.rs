//! Room on this node for the pod's memory, asked before anything of it is sent: it is all here before the commit, as files of the
//! memory file system, beside what the node's own pods need.

use std::{io, path::Path};

use nix::sys::statvfs::statvfs;
use thiserror::Error;

use crate::node::Node;

/// Why the pod's memory has no place here.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum RoomError {
    /// The file system would be full.
    #[error(
        "the pod has {needed} MiB of memory of its own, and the memory file system {path} of node {node} has {free} MiB left: make room there, raise its size (a remount of /run), or choose another node"
    )]
    FileSystem {
        /// This node.
        node: String,
        /// Where the pages would be.
        path: String,
        /// MiB that would come.
        needed: u64,
        /// MiB that are free.
        free: u64,
    },
    /// The kernel would have to kill somebody.
    #[error(
        "the pod has {needed} MiB of memory of its own, and node {node} has {available} MiB available: choose another node, or set memory requests that keep the scheduler from this one"
    )]
    Memory {
        /// This node.
        node: String,
        /// MiB that would come.
        needed: u64,
        /// MiB that programs could get without swapping.
        available: u64,
    },
}

impl RoomError {
    /// Stable.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::FileSystem { .. } => "NoSpaceForPages",
            Self::Memory { .. } => "NodeMemoryShort",
        }
    }
}

/// Bytes that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Room {
    /// In the file system of the pages; none where it has no limit.
    free: Option<u64>,
    /// In the node's memory (`MemAvailable`, `Documentation/filesystems/proc.rst`).
    available: u64,
}

/// Fails unless this node has room for so many bytes of memory. What cannot be asked does not stand in the way: a full file system is
/// found when it is written to, too.
pub(super) fn check(node: &Node, needed: u64) -> Result<(), RoomError> {
    let path = node.layout.images_dir();
    match look(&path) {
        Ok(room) => decide(room, needed, &node.name, &node.layout_on_node.images_dir()),
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "cannot ask for room");
            Ok(())
        }
    }
}

fn look(path: &Path) -> io::Result<Room> {
    let found = statvfs(path)?;
    let free = found.blocks_available().saturating_mul(found.fragment_size());
    let text = std::fs::read_to_string("/proc/meminfo")?;
    Ok(Room {
        // Without a limit there are no blocks to be counted (tmpfs with size=0).
        free: (found.blocks() > 0).then_some(free),
        available: available(&text).ok_or_else(|| io::Error::other("no MemAvailable in /proc/meminfo"))?,
    })
}

/// `MemAvailable:   20480000 kB`.
fn available(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1 << 10)
}

fn decide(room: Room, needed: u64, node: &str, path: &Path) -> Result<(), RoomError> {
    if let Some(free) = room.free.filter(|free| *free < needed) {
        return Err(RoomError::FileSystem {
            node: node.to_owned(),
            path: path.display().to_string(),
            needed: needed >> 20,
            free: free >> 20,
        });
    }
    if room.available < needed {
        return Err(RoomError::Memory {
            node: node.to_owned(),
            needed: needed >> 20,
            available: room.available >> 20,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn decided(free: Option<u64>, available: u64, needed: u64) -> Option<&'static str> {
        let room = Room { free, available };
        let decided = decide(room, needed, "n2", Path::new("/run/godwit/images"));
        decided.err().map(|error| error.reason())
    }

    #[test]
    fn memory_that_fits_is_taken_and_what_does_not_is_refused_by_what_is_short() {
        assert_eq!(decided(Some(64 * MIB), 64 * MIB, 64 * MIB), None);
        assert_eq!(decided(None, 64 * MIB, 64 * MIB), None);
        assert_eq!(
            decided(Some(63 * MIB), 64 * MIB, 64 * MIB),
            Some("NoSpaceForPages")
        );
        assert_eq!(
            decided(Some(64 * MIB), 63 * MIB, 64 * MIB),
            Some("NodeMemoryShort")
        );
        assert_eq!(decided(Some(0), 0, 0), None);
    }

    #[test]
    fn the_message_has_both_figures_and_the_node() {
        let room = Room {
            free: Some(5 * MIB),
            available: u64::MAX,
        };
        let text = decide(room, 70 * MIB, "n2", Path::new("/run/x"))
            .unwrap_err()
            .to_string();
        for part in ["70 MiB", "5 MiB", "n2", "/run/x"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn available_memory_is_read_from_the_kernels_list() {
        assert_eq!(
            available("MemTotal: 9 kB\nMemAvailable:   20480 kB\n"),
            Some(20 * MIB)
        );
        for broken in [
            "",
            "MemAvailable: x kB",
            "MemAvailable: 5",
            "MemAvailable: 18446744073709551615 kB",
        ] {
            assert_eq!(available(broken), None, "{broken}");
        }
    }

    #[test]
    fn this_machine_has_some_of_both() {
        let room = look(&std::env::temp_dir()).unwrap();
        assert!(room.available > MIB, "{room:?}");
    }
}
