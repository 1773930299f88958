//! What the source's node and the destination may not differ in. The operator compares what their agents have written on the nodes
//! ([`crate::NodeFacts`]); the processor has a file of its own ([`super::cpu`]).

use super::{CheckInfo, RunsBy};

/// Both nodes' agents say what the nodes are like.
pub const NODES_KNOWN: CheckInfo = CheckInfo {
    name: "NodesKnown",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "Warns of nodes whose agents do not say what they are like (`NodesUnknown`), with which nothing of the following can be compared",
    why: "agents of an older release do not know how",
    cure: "bring the agents up to date; look at the log of the godwit-agent pod of that node",
};
/// The architectures are equal.
pub const NODE_ARCHITECTURE: CheckInfo = CheckInfo {
    name: "NodeArchitecture",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a destination of another architecture (`ArchitectureDiffers`)",
    why: "its processor cannot execute the programs",
    cure: "choose another node",
};
/// Pages are of one size.
pub const NODE_PAGE_SIZE: CheckInfo = CheckInfo {
    name: "NodePageSize",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a destination whose kernel has pages of another size (`PageSizeDiffers`)",
    why: "mappings begin and end at pages, and programs have been told the size when they began (`AT_PAGESZ`)",
    cure: "choose another node",
};
/// Cgroups are mounted alike.
pub const NODE_CGROUPS: CheckInfo = CheckInfo {
    name: "NodeCgroups",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a destination with another cgroup version, or with other hierarchies of version 1 (`CgroupsDiffer`)",
    why: "runc mounts them into every container, and CRIU finds none in the place of a mount that a process has seen (`No mapping for`, `criu/mount.c`)",
    cure: "choose another node, or boot both alike",
};
/// The destination's CRIU is not older.
pub const NODE_CRIU: CheckInfo = CheckInfo {
    name: "NodeCriu",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a destination whose CRIU is of an older release (`CriuOlder`)",
    why: "CRIU reads images of older releases, not of newer ones, and does not notice: 4.1 finds no pages at all in what 4.2 has written (criu issue 2847)",
    cure: "finish the upgrade of the agents, which bring CRIU along, or move to a node that has been upgraded",
};
/// The agents understand each other.
pub const NODE_PROTOCOL: CheckInfo = CheckInfo {
    name: "NodeProtocol",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a destination whose agent speaks no version of the conversation that the source's speaks (`VersionMismatch`)",
    why: "the agents would part before anything is copied",
    cure: "finish the upgrade of the agents",
};
/// Packets can be queued.
pub const NODE_PACKET_QUEUES: CheckInfo = CheckInfo {
    name: "NodePacketQueues",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a source or a destination whose kernel cannot queue packets (`NoPacketQueue`)",
    why: "packets for the pod wait in a queue while it is frozen, and what it would say too early ends in one",
    cure: "load the kernel module `nft_queue` or `xt_NFQUEUE` on that node",
};
/// Memory can be filled in after the restore.
pub const NODE_USERFAULTFD: CheckInfo = CheckInfo {
    name: "NodeUserfaultfd",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "a destination whose kernel lacks userfaultfd with its events (`UserfaultfdMissing`), where memory is copied ahead",
    why: "CRIU hands memory over to the page server by it",
    cure: "set `spec.memory` to `StopAndCopy`, or choose another node",
};
/// Clocks go on.
pub const NODE_CLOCKS: CheckInfo = CheckInfo {
    name: "NodeClocks",
    runs_by: RunsBy::Operator,
    acceptable: true,
    refuses: "a source or a destination whose kernel has no time namespaces (`ClocksNotKept`)",
    why: "CRIU cannot restore the clocks that count from the boot (`criu/timens.c`): `CLOCK_MONOTONIC` would jump by the difference of the nodes' uptimes, backwards too, and timers would fire at once or after days",
    cure: "boot a kernel with `CONFIG_TIME_NS`, choose another node, or accept",
};
/// Security modules are the same.
pub const NODE_LSM: CheckInfo = CheckInfo {
    name: "NodeSecurityModule",
    runs_by: RunsBy::Operator,
    acceptable: true,
    refuses: "a source with AppArmor or SELinux, and a destination without it (`SecurityModuleDiffers`); warns where only the destination has one",
    why: "CRIU does not restore a process that has a profile where there is no such module (`mismatched lsm types`, `criu/lsm.c`), and gives none to a process that had none, which then runs unconfined until its container starts anew",
    cure: "choose another node; accept it for a pod whose containers are all unconfined",
};
/// Filters of system calls do there what they do here.
pub const NODE_SECCOMP: CheckInfo = CheckInfo {
    name: "NodeSeccomp",
    runs_by: RunsBy::Operator,
    acceptable: true,
    refuses: "a destination whose kernel does not know an action of seccomp filters that the source's knows, or no filters at all (`SeccompDiffers`)",
    why: "CRIU could not restore a process with a filter there, or the kernel would kill it at the first system call that has an action which it does not know (`seccomp(2)`)",
    cure: "boot an equal kernel there, choose another node, or accept it for a pod whose filters do without",
};
/// Processes get their numbers at once.
pub const NODE_PROCESS_NUMBERS: CheckInfo = CheckInfo {
    name: "NodeProcessNumbers",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "Warns of a destination whose kernel, unlike the source's, cannot be told the number of a new process (`SetTidMissing`: `clone3` with `set_tid`)",
    why: "CRIU then makes one process after the other, by `ns_last_pid` (`criu/cr-restore.c`), and the freeze of a pod with many of them is longer",
    cure: "boot Linux 5.5 or newer there",
};
/// Numbers of processes fit.
pub const NODE_PIDS: CheckInfo = CheckInfo {
    name: "NodePids",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "Warns of a destination with a lower `kernel.pid_max` (`PidMaxLower`)",
    why: "processes keep their numbers inside the pod, and the kernel gives none from pid_max on: the restore of a pod that has come so far would fail and be rolled back",
    cure: "set `kernel.pid_max` alike on both nodes (sysctl)",
};
/// Guard pages can be made.
pub const NODE_GUARD_PAGES: CheckInfo = CheckInfo {
    name: "NodeGuardPages",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "Warns of a destination whose kernel, unlike the source's, is not known to have guard pages without mappings (`GuardPagesMissing`: `MADV_GUARD_INSTALL`)",
    why: "the restore of programs that use them (threads of glibc from 2.42 on) would fail and be rolled back",
    cure: "choose another node for such programs, or boot Linux 6.15 or newer there",
};
/// Huge pages do not make processes grow.
pub const NODE_HUGE_PAGES: CheckInfo = CheckInfo {
    name: "NodeHugePages",
    runs_by: RunsBy::Operator,
    acceptable: false,
    refuses: "Warns of a destination with transparent huge pages for everybody, `always`, where the source has not (`HugePagesDiffer`)",
    why: "the same pod may need more memory there, and run into its limit",
    cure: "set `/sys/kernel/mm/transparent_hugepage/enabled` alike on both nodes",
};

/// All of them, in the order of the documentation.
pub const ALL: &[CheckInfo] = &[
    NODES_KNOWN,
    NODE_ARCHITECTURE,
    NODE_PAGE_SIZE,
    NODE_CGROUPS,
    NODE_CRIU,
    NODE_PROTOCOL,
    NODE_PACKET_QUEUES,
    NODE_USERFAULTFD,
    NODE_CLOCKS,
    NODE_LSM,
    NODE_SECCOMP,
    NODE_PIDS,
    NODE_PROCESS_NUMBERS,
    NODE_GUARD_PAGES,
    NODE_HUGE_PAGES,
];
