//! Programs of Python that move.

use crate::suite::workloads::row::{Language, Row};

const fn moves(program: &'static str, feature: &'static str, why: &'static str) -> Row {
    Row::moves(Language::Python, program, feature, why)
}

pub(super) const ROWS: &[Row] = &[
    moves(
        "asyncio",
        "asyncio: tasks, timers, streams",
        "epoll, its wake-up sockets and connections are restored",
    ),
    moves(
        "threads",
        "threads that hand work on",
        "threads wait again where they waited",
    ),
    moves(
        "multiprocessing",
        "multiprocessing: queues, locks, values",
        "semaphores are mapped files without a name, which travel",
    ),
    moves(
        "shared-memory",
        "POSIX shared memory (`shm_open`)",
        "/dev/shm of the container travels",
    ),
    moves(
        "subprocess",
        "child programs with pipes",
        "the whole tree of processes moves, with its pipes",
    ),
    moves(
        "short-children",
        "programs that are started all the time",
        "a freeze that falls between fork and exec is tried again",
    ),
    moves(
        "sqlite",
        "SQLite with a write-ahead log",
        "its mapped index, locks and files travel",
    ),
    moves(
        "signals",
        "timers: `setitimer`",
        "interval and what is left of it are restored",
    ),
    moves(
        "epoll",
        "epoll over eventfd, signalfd and pipes",
        "registrations and counters are restored",
    ),
    moves("heap", "a heap with garbage collection", "it is memory"),
    moves(
        "temporary-file",
        "files without a name (`O_TMPFILE`)",
        "up to 256 MiB travel in the images",
    ),
    moves(
        "unix-server",
        "unix sockets inside a container: stream",
        "both ends are in the container",
    ),
    moves("pidfd", "pidfd", "it is opened anew for the same process"),
];
