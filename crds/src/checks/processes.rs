//! What running processes have or do that CRIU cannot take along, seen by a look at them (`godwit-preflight`). Each was tried: a test dumps a program
//! that does it.

use super::{CheckInfo, RunsBy};

/// `AlarmTimerUnsupported`.
pub const ALARM_TIMER_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "AlarmTimerUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "a timerfd of `CLOCK_REALTIME_ALARM` or `CLOCK_BOOTTIME_ALARM`",
    why: "CRIU does not know the clock, and the dump fails",
    cure: "use the clock without `_ALARM`: nodes do not sleep",
};
/// `BpfUnsupported`.
pub const BPF_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "BpfUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "an open BPF map, program or link",
    why: "the object is in the node's kernel, and CRIU cannot dump its descriptor",
    cure: "load BPF from a pod that is not moved",
};
/// `ConnectionsNotAccepted`.
pub const CONNECTIONS_NOT_ACCEPTED: CheckInfo = CheckInfo {
    name: "ConnectionsNotAccepted",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "Warns of connections that a listening socket of the pod has and does not accept, and of handshakes that are not over",
    why: "CRIU does not dump a listening socket with such; the freeze waits for them a moment, and fails then",
    cure: "let the program accept its connections, or close the listener",
};
/// `DeletedFileTooBig`.
pub const DELETED_FILE_TOO_BIG: CheckInfo = CheckInfo {
    name: "DeletedFileTooBig",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "a file that was deleted while it is open or mapped, and takes more than 256 MiB on disk",
    why: "it would travel in CRIU's images, which are kept in memory",
    cure: "let the program close it, or keep it under a name in a volume",
};
/// `DeletedNameUnsupported`.
pub const DELETED_NAME_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "DeletedNameUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "an open or mapped file whose name was removed while it has another one (hard links)",
    why: "CRIU would have to make a name for it in the pod's directories",
    cure: "close the file, or remove its other names too",
};
/// `DescriptorUnsupported`.
pub const DESCRIPTOR_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "DescriptorUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "descriptors that are no file and that CRIU does not know: Landlock rule sets, mounts in the making, KVM machines, GPU buffers",
    why: "CRIU cannot make them anew, and the dump fails",
    cure: "close it, or let the container start anew with `spec.restartContainers`",
};
/// `DetachedMountUnsupported`.
pub const DETACHED_MOUNT_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "DetachedMountUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "a file that is open on a file system that is mounted nowhere in the container (`umount -l`)",
    why: "CRIU finds no path to it, and the dump fails",
    cure: "close the file, or keep the file system mounted",
};
/// `DeviceUnsupported`.
pub const DEVICE_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "DeviceUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "open or mapped devices other than null, zero, full, random, urandom, kmsg, terminals and tun",
    why: "their drivers keep state for the process that CRIU cannot see",
    cure: "close it before a move, or let the container start anew with `spec.restartContainers`",
};
/// `EventSemaphoreUnsupported`.
pub const EVENT_SEMAPHORE_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "EventSemaphoreUnsupported",
    runs_by: RunsBy::Source,
    acceptable: true,
    refuses: "an eventfd that gives one at a time (`EFD_SEMAPHORE`); Linux tells since 6.5",
    why: "CRIU makes it anew without the flag: a read would take the whole counter",
    cure: "use an ordinary eventfd, or a semaphore in memory",
};
/// `FileWatchUnsupported`.
pub const FILE_WATCH_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "FileWatchUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "inotify and fanotify watches on the container's own files (with CRIU before 4.3) and on /proc",
    why: "CRIU finds a watched file by its handle, which overlayfs and procfs do not resolve",
    cure: "watch a volume instead, or let the program poll",
};
/// `GpuUnsupported`.
pub const GPU_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "GpuUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "open or mapped GPU devices",
    why: "memory and state of a GPU stay with it",
    cure: "let the container start anew with `spec.restartContainers`",
};
/// `IoUringUnsupported`.
pub const IO_URING_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "IoUringUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "io_uring, by its descriptor or its mapped rings",
    why: "CRIU cannot dump it",
    cure: "turn it off in the program (PostgreSQL: `io_method=worker`), or forbid it by `seccompProfile: RuntimeDefault`, which containerd's profile does (Node.js, which cannot be told otherwise since libuv 1.49, then does without)",
};
/// `MessageQueueUnsupported`.
pub const MESSAGE_QUEUE_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "MessageQueueUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "POSIX message queues, open or not",
    why: "CRIU dumps an empty mount of them only",
    cure: "remove the queue, or use a socket",
};
/// `MptcpUnsupported`.
pub const MPTCP_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "MptcpUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "sockets of Multipath TCP",
    why: "CRIU does not know the protocol",
    cure: "set `GODEBUG=multipathtcp=0` (Go makes its listeners so by default)",
};
/// `MulticastUnsupported`.
pub const MULTICAST_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "MulticastUnsupported",
    runs_by: RunsBy::Source,
    acceptable: true,
    refuses: "sockets that have joined a multicast group",
    why: "CRIU does not restore memberships: nothing that is sent to the group would come any more",
    cure: "let the program join again when the pod has moved",
};
/// `NamespaceDescriptorUnsupported`.
pub const NAMESPACE_DESCRIPTOR_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "NamespaceDescriptorUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "an open descriptor of a namespace in which no process of the container is",
    why: "CRIU could not make the namespace anew",
    cure: "close it",
};
/// `NestedNamespaceUnsupported`.
pub const NESTED_NAMESPACE_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "NestedNamespaceUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "processes in a user, PID, network, IPC, UTS, cgroup or time namespace of their own inside the container",
    why: "CRIU dumps one of each kind per container; nested mount namespaces it can dump",
    cure: "run the program without its own sandbox",
};
/// `NetlinkUnread`.
pub const NETLINK_UNREAD: CheckInfo = CheckInfo {
    name: "NetlinkUnread",
    runs_by: RunsBy::Source,
    acceptable: true,
    refuses: "a netlink socket with messages that are not read, at two looks 200 ms apart",
    why: "CRIU cannot read them for the program, and the dump fails if they are still there",
    cure: "let the program read its socket, or close it",
};
/// `PerfEventUnsupported`.
pub const PERF_EVENT_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "PerfEventUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "descriptors and buffers of `perf_event_open`",
    why: "CRIU cannot dump them",
    cure: "stop the profiler, or run it outside of the pod",
};
/// `ProcessStopped`.
pub const PROCESS_STOPPED: CheckInfo = CheckInfo {
    name: "ProcessStopped",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "processes that a signal has stopped, where containers are frozen by version 1 of cgroups, at two looks 200 ms apart",
    why: "ptrace waits for a stopped process that is frozen until it is thawed, and CRIU with it",
    cure: "let them go on (SIGCONT) before the move",
};
/// `ProcessTraced`.
pub const PROCESS_TRACED: CheckInfo = CheckInfo {
    name: "ProcessTraced",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "processes that somebody traces (gdb, strace, delve)",
    why: "a process has one tracer at most, and CRIU would have to be it",
    cure: "end the debugger, or detach it",
};
/// `ProcessUninterruptible`.
pub const PROCESS_UNINTERRUPTIBLE: CheckInfo = CheckInfo {
    name: "ProcessUninterruptible",
    runs_by: RunsBy::Source,
    acceptable: true,
    refuses: "a process in state D, at two looks 200 ms apart and without a moment on a processor between them: it waits for a disk or network file system, or has called vfork for a child that goes on",
    why: "CRIU cannot stop it, and the dump fails if it still waits",
    cure: "try again when it has what it waits for",
};
/// `SeccompNotifyUnsupported`.
pub const SECCOMP_NOTIFY_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "SeccompNotifyUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "a descriptor by which a process answers for system calls of another (seccomp user notification)",
    why: "the connection to the filter cannot be made anew",
    cure: "run the supervised program without it",
};
/// `SecretMemoryUnsupported`.
pub const SECRET_MEMORY_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "SecretMemoryUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "memory of `memfd_secret`",
    why: "the kernel lets nobody read it, CRIU neither",
    cure: "turn it off in the program",
};
/// `SocketUnsupported`.
pub const SOCKET_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "SocketUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "sockets other than TCP, UDP, UDP-Lite, ICMP, raw, packet, netlink and unix: vsock, XDP, SCTP, SMC, TIPC, CAN, AF_ALG",
    why: "CRIU does not know the family or protocol",
    cure: "close it, or let the container start anew with `spec.restartContainers`",
};
/// `ThreadNamespaceUnsupported`.
pub const THREAD_NAMESPACE_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "ThreadNamespaceUnsupported",
    runs_by: RunsBy::Source,
    acceptable: true,
    refuses: "a process with a thread in another network, mount, UTS, IPC or cgroup namespace than its own",
    why: "CRIU dumps namespaces per process: restored, the thread is where the process is, and is not told",
    cure: "let the thread come back before a move, or do such work in a process of its own",
};
/// `UnixPeerOutside`.
pub const UNIX_PEER_OUTSIDE: CheckInfo = CheckInfo {
    name: "UnixPeerOutside",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "a unix socket that is connected to a process outside of its container, by a volume or the pod's abstract names",
    why: "the other end does not move with it, or moves in other images",
    cure: "close the connection before a move; log to stdout instead of a daemon's socket; talk over TCP",
};
/// `UprobeUnsupported`.
pub const UPROBE_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "UprobeUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "a process into which the kernel has put the page of a breakpoint (bpftrace, profilers by eBPF on the node)",
    why: "CRIU refuses it: breakpoints are in the program's code",
    cure: "stop the tracer on the node, and restart the program",
};
/// `UserfaultfdUnsupported`.
pub const USERFAULTFD_UNSUPPORTED: CheckInfo = CheckInfo {
    name: "UserfaultfdUnsupported",
    runs_by: RunsBy::Source,
    acceptable: false,
    refuses: "a process that handles page faults by userfaultfd",
    why: "CRIU cannot dump the descriptor",
    cure: "turn the feature off in the program",
};

/// All of them.
pub const ALL: &[CheckInfo] = &[
    ALARM_TIMER_UNSUPPORTED,
    BPF_UNSUPPORTED,
    CONNECTIONS_NOT_ACCEPTED,
    DELETED_FILE_TOO_BIG,
    DELETED_NAME_UNSUPPORTED,
    DESCRIPTOR_UNSUPPORTED,
    DETACHED_MOUNT_UNSUPPORTED,
    DEVICE_UNSUPPORTED,
    EVENT_SEMAPHORE_UNSUPPORTED,
    FILE_WATCH_UNSUPPORTED,
    GPU_UNSUPPORTED,
    IO_URING_UNSUPPORTED,
    MESSAGE_QUEUE_UNSUPPORTED,
    MPTCP_UNSUPPORTED,
    MULTICAST_UNSUPPORTED,
    NAMESPACE_DESCRIPTOR_UNSUPPORTED,
    NESTED_NAMESPACE_UNSUPPORTED,
    NETLINK_UNREAD,
    PERF_EVENT_UNSUPPORTED,
    PROCESS_STOPPED,
    PROCESS_TRACED,
    PROCESS_UNINTERRUPTIBLE,
    SECCOMP_NOTIFY_UNSUPPORTED,
    SECRET_MEMORY_UNSUPPORTED,
    SOCKET_UNSUPPORTED,
    THREAD_NAMESPACE_UNSUPPORTED,
    UNIX_PEER_OUTSIDE,
    UPROBE_UNSUPPORTED,
    USERFAULTFD_UNSUPPORTED,
];
