//! Programs that are refused.

use godwit_crds::checks::processes as checks;

use crate::suite::workloads::row::Language::{C, Go, Java, Node, Python};
use crate::suite::workloads::row::Row;

pub(super) const ROWS: &[Row] = &[
    Row::refused(C, "io_uring", "io_uring", &checks::IO_URING_UNSUPPORTED),
    Row::refused(
        Node,
        "event-loop",
        "Node.js in a pod without a seccomp profile: its event loop has a ring of io_uring",
        &checks::IO_URING_UNSUPPORTED,
    ),
    Row::refused(C, "userfaultfd", "userfaultfd", &checks::USERFAULTFD_UNSUPPORTED),
    Row::refused(
        C,
        "perf_event",
        "`perf_event_open`",
        &checks::PERF_EVENT_UNSUPPORTED,
    ),
    Row::refused(C, "bpf-map", "BPF maps", &checks::BPF_UNSUPPORTED).may("BPF"),
    Row::refused(C, "vsock", "vsock", &checks::SOCKET_UNSUPPORTED),
    Row::refused(Python, "vsock", "vsock", &checks::SOCKET_UNSUPPORTED),
    Row::refused(C, "mptcp", "Multipath TCP", &checks::MPTCP_UNSUPPORTED),
    Row::refused(Python, "mptcp", "Multipath TCP", &checks::MPTCP_UNSUPPORTED),
    Row::refused(
        Go,
        "http",
        "HTTP server (Go by default: its listeners are of Multipath TCP)",
        &checks::MPTCP_UNSUPPORTED,
    ),
    Row::refused(
        C,
        "seccomp-notify",
        "seccomp user notification",
        &checks::SECCOMP_NOTIFY_UNSUPPORTED,
    ),
    Row::refused(
        C,
        "alarm-timer",
        "timers that wake a sleeping machine",
        &checks::ALARM_TIMER_UNSUPPORTED,
    )
    .may("WAKE_ALARM"),
    Row::refused(
        C,
        "secret-memory",
        "`memfd_secret`",
        &checks::SECRET_MEMORY_UNSUPPORTED,
    ),
    Row::refused(
        C,
        "landlock",
        "open Landlock rule sets",
        &checks::DESCRIPTOR_UNSUPPORTED,
    ),
    Row::refused(
        C,
        "netlink-unread",
        "netlink sockets with unread answers",
        &checks::NETLINK_UNREAD,
    ),
    Row::refused(
        C,
        "message-queue",
        "POSIX message queues",
        &checks::MESSAGE_QUEUE_UNSUPPORTED,
    ),
    Row::refused(C, "traced", "a child that is traced", &checks::PROCESS_TRACED).may("SYS_PTRACE"),
    Row::refused(
        C,
        "vfork",
        "a child by `vfork` that goes on",
        &checks::PROCESS_UNINTERRUPTIBLE,
    ),
    Row::refused(
        C,
        "namespaces",
        "a sandbox of its own by namespaces",
        &checks::NESTED_NAMESPACE_UNSUPPORTED,
    ),
    Row::refused(
        C,
        "removed-name",
        "an open file of which one of two names was removed",
        &checks::DELETED_NAME_UNSUPPORTED,
    ),
    Row::refused(
        C,
        "deleted-big",
        "a deleted file of more than 256 MiB that is open",
        &checks::DELETED_FILE_TOO_BIG,
    ),
    Row::refused(
        C,
        "unix-server",
        "a unix socket to another container of the pod",
        &checks::UNIX_PEER_OUTSIDE,
    )
    .beside("unix-client"),
    Row::refused(
        C,
        "inotify-own",
        "inotify on the container's own files",
        &checks::FILE_WATCH_UNSUPPORTED,
    ),
    Row::refused(
        Go,
        "inotify-own",
        "inotify on the container's own files",
        &checks::FILE_WATCH_UNSUPPORTED,
    ),
    Row::refused(
        Python,
        "watch-own",
        "inotify on the container's own files",
        &checks::FILE_WATCH_UNSUPPORTED,
    ),
    Row::refused(
        Java,
        "watch-own",
        "inotify on the container's own files",
        &checks::FILE_WATCH_UNSUPPORTED,
    ),
    Row::refused(
        Node,
        "watch",
        "inotify on the container's own files",
        &checks::FILE_WATCH_UNSUPPORTED,
    ),
    Row::refused(
        C,
        "event-semaphore",
        "eventfd as a semaphore (`EFD_SEMAPHORE`)",
        &checks::EVENT_SEMAPHORE_UNSUPPORTED,
    ),
    Row::refused(
        C,
        "multicast",
        "membership in multicast groups",
        &checks::MULTICAST_UNSUPPORTED,
    ),
    Row::refused(
        C,
        "stopped",
        "a process that is stopped, on nodes with version 1 of cgroups",
        &checks::PROCESS_STOPPED,
    ),
];
