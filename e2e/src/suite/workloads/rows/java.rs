//! Programs of Java that move.

use crate::suite::workloads::row::{Language, Row};

const fn moves(program: &'static str, feature: &'static str, why: &'static str) -> Row {
    Row::moves(Language::Java, program, feature, why)
}

pub(super) const ROWS: &[Row] = &[
    moves("heap", "a heap with garbage collection", "it is memory"),
    moves(
        "selector",
        "NIO selectors",
        "epoll, its wake-up descriptor and connections are restored",
    ),
    moves(
        "virtual-threads",
        "virtual threads",
        "they are memory of the program and threads of the kernel",
    ),
    moves(
        "scheduler",
        "timers of the runtime",
        "waits end when the time has come",
    ),
    moves(
        "process",
        "child programs with pipes",
        "the whole tree of processes moves, with its pipes",
    ),
    moves(
        "mapped-file",
        "files mapped shared and private",
        "pages that were changed travel, the others come from the file",
    ),
    moves(
        "monitors",
        "threads that hand work on",
        "threads wait again where they waited",
    ),
    moves(
        "sockets",
        "TCP servers and clients inside a container",
        "both ends are restored with their queues",
    ),
    moves(
        "watch-volume",
        "inotify on a volume",
        "the watch is made anew on the same path",
    ),
];
