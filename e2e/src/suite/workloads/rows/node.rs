//! Programs of Node.js that move.

use crate::suite::workloads::row::{Language, Row};

const fn moves(program: &'static str, feature: &'static str, why: &'static str) -> Row {
    // Its event loop has a ring of io_uring otherwise, whatever its environment says (`uv__use_io_uring` in libuv since 1.49).
    Row::moves(Language::Node, program, feature, why).confined()
}

pub(super) const ROWS: &[Row] = &[
    moves(
        "event-loop",
        "timers of the runtime",
        "waits end when the time has come",
    ),
    moves(
        "http",
        "HTTP server and client",
        "listener and connection are restored",
    ),
    moves(
        "worker-threads",
        "worker threads with shared memory",
        "threads wait again where they waited",
    ),
    moves(
        "child-process",
        "child programs with pipes",
        "the whole tree of processes moves, with its pipes",
    ),
    moves(
        "fork",
        "children with a channel of messages",
        "the channel is a unix socket with both ends in the container",
    ),
    moves(
        "thread-pool",
        "files and hashes in the pool of threads",
        "like all of these programs of Node.js in a pod with `seccompProfile: RuntimeDefault`, which keeps it from io_uring",
    ),
    moves(
        "sockets",
        "unix sockets inside a container: stream",
        "both ends are in the container",
    ),
    moves("heap", "a heap with garbage collection", "it is memory"),
    moves(
        "watch-volume",
        "inotify on a volume",
        "the watch is made anew on the same path",
    ),
];
