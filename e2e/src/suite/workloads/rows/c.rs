//! Programs of C that move.

use crate::suite::workloads::row::{Language, Row};

const fn moves(program: &'static str, feature: &'static str, why: &'static str) -> Row {
    Row::moves(Language::C, program, feature, why)
}

pub(super) const ROWS: &[Row] = &[
    moves(
        "timerfd",
        "timers: timerfd",
        "interval and what is left of it are restored",
    ),
    moves(
        "posix-timer",
        "timers: POSIX timers (`timer_create`)",
        "interval and what is left of it are restored",
    ),
    moves(
        "setitimer",
        "timers: `setitimer`",
        "interval and what is left of it are restored",
    ),
    moves("pipe", "pipes", "what is in it and not read yet travels"),
    moves("fifo", "named pipes", "what is in it and not read yet travels"),
    moves(
        "unix-stream",
        "unix sockets inside a container: stream",
        "both ends are in the container",
    ),
    moves(
        "unix-datagram",
        "unix sockets inside a container: datagrams",
        "both ends are in the container",
    ),
    moves(
        "unix-packets",
        "unix sockets inside a container: packets (`SOCK_SEQPACKET`)",
        "both ends are in the container",
    ),
    moves(
        "descriptor-on-its-way",
        "descriptors on their way through a unix socket (`SCM_RIGHTS`)",
        "the message and the descriptor in it are restored",
    ),
    moves(
        "epoll",
        "epoll over eventfd, signalfd and pipes",
        "registrations and counters are restored",
    ),
    moves(
        "sysv",
        "System V shared memory, semaphores and messages",
        "the container has an IPC namespace of its own, whose objects are restored",
    ),
    moves(
        "terminal",
        "pseudo terminals that the program opened itself",
        "both ends are in the container",
    ),
    moves(
        "aio",
        "asynchronous input and output (`io_setup`)",
        "the ring is made anew at its address",
    ),
    moves(
        "deleted-file",
        "deleted files that are open",
        "up to 256 MiB travel in the images",
    ),
    moves(
        "tmpfile",
        "files without a name (`O_TMPFILE`)",
        "up to 256 MiB travel in the images",
    ),
    moves(
        "offsets",
        "open files: position, flags, descriptors that share them",
        "they are restored; the file travels with the pod",
    ),
    moves("sparse-file", "sparse files", "holes stay holes"),
    moves(
        "mapped-file",
        "files mapped shared and private",
        "pages that were changed travel, the others come from the file",
    ),
    moves(
        "file-locks",
        "file locks: flock, records, descriptions",
        "they are taken again before the program goes on; not on volumes that both nodes mount",
    ),
    moves(
        "inotify-volume",
        "inotify on a volume",
        "the watch is made anew on the same path",
    ),
    moves(
        "inotify-memory",
        "inotify on /dev/shm",
        "the watch is made anew on the same path",
    ),
    moves("sendfile", "`sendfile`", "the position of the file is restored"),
    moves(
        "kernel-files",
        "open files of /proc",
        "they are opened anew by their path",
    ),
    moves(
        "removed-directory",
        "a working directory that was removed",
        "it is made for the restore and removed again",
    ),
    moves(
        "memfd",
        "memfd with seals and two mappings",
        "content and seals travel",
    ),
    moves(
        "shm_open",
        "POSIX shared memory (`shm_open`)",
        "/dev/shm of the container travels",
    ),
    moves(
        "shared-anonymous",
        "memory shared with children",
        "it travels once and is mapped again in each",
    ),
    moves(
        "process-shared",
        "mutexes and semaphores shared by processes",
        "they are memory, and their waiters wait again",
    ),
    moves(
        "robust-mutex",
        "robust mutexes",
        "the kernel is told of each thread's list again",
    ),
    moves(
        "threads",
        "threads with condition variables and thread-local variables",
        "registers, stacks and the pointer to thread-local memory are restored",
    ),
    moves(
        "huge-pages",
        "transparent huge pages",
        "content and advice travel; the destination makes huge pages anew",
    ),
    moves(
        "locked-memory",
        "locked memory (`mlock`)",
        "it travels in the freeze and is locked again",
    ),
    moves(
        "protected-memory",
        "protected memory and faults that the program handles",
        "protection and handlers are restored",
    ),
    moves(
        "advised-memory",
        "memory kept from children (`MADV_DONTFORK`, `MADV_WIPEONFORK`)",
        "the advice is restored",
    ),
    moves(
        "generated-code",
        "code that the program makes at run time",
        "it is memory",
    ),
    moves(
        "process-tree",
        "trees of processes",
        "each has its number and its parent again",
    ),
    moves("groups", "sessions and process groups", "they are restored"),
    moves(
        "zombie",
        "zombies",
        "they wait for their parent with their exit code",
    ),
    moves(
        "pending",
        "signals that are blocked and wait, with values",
        "they wait in the same order",
    ),
    moves(
        "handlers",
        "signal handlers, masks and stacks",
        "they are restored",
    ),
    moves("pidfd", "pidfd", "it is opened anew for the same process"),
    moves("seccomp", "seccomp filters", "they are installed again"),
    moves("rseq", "restartable sequences", "each thread is registered again"),
    moves(
        "user",
        "another user, groups and capabilities",
        "credentials are restored",
    ),
    moves("limits", "limits, niceness, umask", "they are restored"),
    moves(
        "prctl",
        "name, subreaper, death signal, no huge pages (`prctl`)",
        "they are restored",
    ),
    moves(
        "tcp",
        "TCP connections inside a container, with unread bytes",
        "both ends are restored with their queues",
    ),
    moves(
        "tcp6",
        "TCP over IPv6 inside a container",
        "both ends are restored with their queues",
    ),
    moves(
        "half-closed",
        "TCP connections of which one end is closed",
        "the state of the connection is restored",
    ),
    moves(
        "listener",
        "TCP listeners and their options",
        "the listener is made anew with its options",
    ),
    moves(
        "udp",
        "UDP",
        "the socket is made anew; datagrams that nobody has read may be lost, as UDP may lose them",
    ),
    moves("raw-socket", "raw sockets (ping)", "the socket is made anew"),
    moves("packet-socket", "packet sockets", "the socket is made anew"),
    moves(
        "netlink",
        "netlink sockets whose answers are read",
        "the socket is made anew",
    ),
    moves(
        "socket-filter",
        "filters on sockets (`SO_ATTACH_FILTER`)",
        "the filter is attached again",
    ),
];
