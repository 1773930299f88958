//! Programs of Go that move.

use crate::suite::workloads::row::{Language, Row};

const fn moves(program: &'static str, feature: &'static str, why: &'static str) -> Row {
    Row::moves(Language::Go, program, feature, why)
}

pub(super) const ROWS: &[Row] = &[
    moves(
        "goroutines",
        "goroutines and channels",
        "they are memory of the program and threads of the kernel",
    ),
    moves(
        "timers",
        "timers of the runtime",
        "waits end when the time has come",
    ),
    moves(
        "http",
        "HTTP server and client (Go with `GODEBUG=multipathtcp=0`)",
        "listener and connection are restored",
    )
    .with("GODEBUG", "multipathtcp=0"),
    moves(
        "exec",
        "child programs with pipes",
        "the whole tree of processes moves, with its pipes",
    ),
    moves("heap", "a heap with garbage collection", "it is memory"),
    moves("pipe", "pipes", "what is in it and not read yet travels"),
    moves(
        "unix",
        "unix sockets inside a container: stream",
        "both ends are in the container",
    ),
    moves(
        "locked-threads",
        "goroutines bound to threads",
        "threads keep their numbers",
    ),
    moves(
        "signals",
        "signals that the runtime handles",
        "handlers and masks are restored",
    ),
    moves(
        "file",
        "files that are open and locked",
        "position, flags and locks are restored; the file travels with the pod",
    ),
];
