//! What the agents check when there is a target pod already, and before the pod is frozen. A refusal takes the target pod away again.
//! The names are the reasons that `status.reason` gives.

use super::{CheckInfo, RunsBy};

/// Read-only host paths are the same on both nodes.
pub const HOST_PATH_DIFFERS: CheckInfo = CheckInfo {
    name: "HostPathDiffers",
    runs_by: RunsBy::Both,
    acceptable: false,
    refuses: "a read-only hostPath that is not the same on the destination (names, contents, modes, owners)",
    why: "processes go on with the files that they have mapped and opened",
    cure: "make the nodes alike",
};
/// Read-only host paths can be compared.
pub const HOST_PATH_INCOMPARABLE: CheckInfo = CheckInfo {
    name: "HostPathIncomparable",
    runs_by: RunsBy::Both,
    acceptable: false,
    refuses: "a read-only hostPath with sockets, devices, file systems of the kernel, or more than 20,000 files or 1 GiB",
    why: "it cannot be told whether it is the same",
    cure: "mount less of the node",
};
/// Images are the same on both nodes.
pub const IMAGE_DIFFERS: CheckInfo = CheckInfo {
    name: "ImageDiffers",
    runs_by: RunsBy::Both,
    acceptable: false,
    refuses: "another image under the same name on the destination",
    why: "processes go on with the files that they have mapped and opened",
    cure: "refer to images by digest",
};
/// SysV shared memory is of one container.
pub const SYSV_MEMORY_IN_TWO_CONTAINERS: CheckInfo = CheckInfo {
    name: "SysvMemoryInTwoContainers",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "two containers of the pod that have SysV shared memory mapped",
    why: "CRIU restores it with one of them, and the other would have another copy",
    cure: "none",
};
/// The nodes are on one L2 segment.
pub const NODES_NOT_DIRECTLY_CONNECTED: CheckInfo = CheckInfo {
    name: "NodesNotDirectlyConnected",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "a router between the nodes",
    why: "addresses are carried on one L2 segment only, for now",
    cure: "choose a node of the same segment",
};
/// There is room for CRIU's images.
pub const NO_SPACE_FOR_IMAGES: CheckInfo = CheckInfo {
    name: "NoSpaceForImages",
    runs_by: RunsBy::Both,
    acceptable: false,
    refuses: "no room for CRIU's images in the memory file system `/run` of the destination; or, with `memory: StopAndCopy`, of the source",
    why: "they are kept in memory, for the freeze to be short",
    cure: "make room, or move the pod elsewhere",
};
/// There is room for the pod's memory.
pub const NO_SPACE_FOR_PAGES: CheckInfo = CheckInfo {
    name: "NoSpaceForPages",
    runs_by: RunsBy::Both,
    acceptable: false,
    refuses: "no room for the memory that the pod's processes have of their own, in `/run` of the destination",
    why: "it is all there before the commit",
    cure: "make room, or move the pod elsewhere",
};
/// The node has memory for the pod.
pub const NODE_MEMORY_SHORT: CheckInfo = CheckInfo {
    name: "NodeMemoryShort",
    runs_by: RunsBy::Both,
    acceptable: false,
    refuses: "a destination with less memory available than the pod's processes have of their own",
    why: "the kernel would end somebody's processes there to make room",
    cure: "choose another node, or set memory requests that keep the scheduler from this one",
};
/// Kubelet's directories of volumes are found.
pub const VOLUME_MISSING: CheckInfo = CheckInfo {
    name: "VolumeMissing",
    runs_by: RunsBy::Both,
    acceptable: false,
    refuses: "kubelet's directory of a volume that was not found on one of the nodes",
    why: "what is in it could not be copied",
    cure: "look at the kubelet's root directory",
};
/// The nodes' clocks are alike.
pub const CLOCK_SKEW: CheckInfo = CheckInfo {
    name: "ClockSkew",
    runs_by: RunsBy::Both,
    acceptable: false,
    refuses: "Warns of clocks of the two nodes (`CLOCK_REALTIME`) that certainly differ by more than 100 ms, in `status.source.warnings`",
    why: "what processes have noted by the one clock, such as leases and deadlines, they hold against the other after the move",
    cure: "synchronise the clocks of the nodes (chrony, systemd-timesyncd)",
};

/// All of them, in the order of the documentation.
pub const ALL: &[CheckInfo] = &[
    HOST_PATH_DIFFERS,
    HOST_PATH_INCOMPARABLE,
    IMAGE_DIFFERS,
    SYSV_MEMORY_IN_TWO_CONTAINERS,
    NODES_NOT_DIRECTLY_CONNECTED,
    NO_SPACE_FOR_IMAGES,
    NO_SPACE_FOR_PAGES,
    NODE_MEMORY_SHORT,
    VOLUME_MISSING,
    CLOCK_SKEW,
];
