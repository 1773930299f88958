//! Programs of Rust that move.

use crate::suite::workloads::row::{Language, Row};

const fn moves(program: &'static str, feature: &'static str, why: &'static str) -> Row {
    Row::moves(Language::Rust, program, feature, why)
}

pub(super) const ROWS: &[Row] = &[
    moves(
        "channels",
        "threads that hand work on",
        "threads wait again where they waited",
    ),
    moves(
        "locks",
        "threads with barriers and mutexes",
        "threads wait again where they waited",
    ),
    moves(
        "timeouts",
        "timers of the runtime",
        "waits end when the time has come",
    ),
    moves(
        "tcp",
        "TCP servers and clients inside a container",
        "both ends are restored with their queues",
    ),
    moves(
        "udp",
        "UDP",
        "the socket is made anew; datagrams that nobody has read may be lost, as UDP may lose them",
    ),
    moves(
        "unix",
        "unix sockets inside a container: stream",
        "both ends are in the container",
    ),
    moves(
        "command",
        "child programs with pipes",
        "the whole tree of processes moves, with its pipes",
    ),
    moves(
        "file",
        "files that are open and locked",
        "position, flags and locks are restored; the file travels with the pod",
    ),
];
