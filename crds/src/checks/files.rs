//! Files of the node that processes of a container have mapped or open (`godwit-preflight`): they do not travel, so they must be the same.

use super::{CheckInfo, RunsBy};

/// `HostFileDiffers`.
pub const HOST_FILE_DIFFERS: CheckInfo = CheckInfo {
    name: "HostFileDiffers",
    runs_by: RunsBy::Both,
    acceptable: true,
    refuses: "a file that the node provides to the container (device plugins, CDI, hooks) and that a process has mapped or open, if it is another one at the destination",
    why: "mapped pages that were not written are read from the destination's file: the process would jump into other code, at its first call or at once",
    cure: "give both nodes the same build of it",
};
/// `HostFileMissing`.
pub const HOST_FILE_MISSING: CheckInfo = CheckInfo {
    name: "HostFileMissing",
    runs_by: RunsBy::Both,
    acceptable: false,
    refuses: "such a file that is not there at the destination",
    why: "CRIU opens it by its path, and the restore fails",
    cure: "install it on the destination, or choose another node",
};
/// `HostFileIncomparable`.
pub const HOST_FILE_INCOMPARABLE: CheckInfo = CheckInfo {
    name: "HostFileIncomparable",
    runs_by: RunsBy::Both,
    acceptable: true,
    refuses: "such a file of more than 1 GiB, or that cannot be read",
    why: "it cannot be told whether it is the same",
    cure: "mount less of the node",
};
/// `HostSymbolMissing`.
pub const HOST_SYMBOL_MISSING: CheckInfo = CheckInfo {
    name: "HostSymbolMissing",
    runs_by: RunsBy::Both,
    acceptable: false,
    refuses: "such a library that lacks a versioned symbol at the destination which a process needs and has not bound yet",
    why: "the process would die at its first call of it, long after the move",
    cure: "give both nodes the same build of it",
};

/// All of them.
pub const ALL: &[CheckInfo] = &[
    HOST_FILE_DIFFERS,
    HOST_FILE_MISSING,
    HOST_FILE_INCOMPARABLE,
    HOST_SYMBOL_MISSING,
];
