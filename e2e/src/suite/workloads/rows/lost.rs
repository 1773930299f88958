//! Programs that move, but lose what they are about: it is in the documentation, and no check looks for it.

use crate::suite::workloads::row::{Language, Row};

const fn loses(program: &'static str, feature: &'static str, why: &'static str) -> Row {
    Row::loses(Language::C, program, feature, why)
}

pub(super) const ROWS: &[Row] = &[
    loses(
        "affinity",
        "a process bound to processors (`sched_setaffinity`)",
        "CRIU does not restore it: the process may run wherever its container may",
    ),
    loses(
        "timer-slack",
        "timer slack",
        "CRIU does not restore it: the kernel's 50 µs hold again",
    ),
    loses(
        "io-priority",
        "priority of input and output (`ioprio_set`)",
        "CRIU does not restore it: that of its niceness holds again",
    ),
    loses(
        "sleep",
        "a sleep that is under way (`nanosleep`)",
        "CRIU ends it with `EINTR`: a program that does not look at the error believes that the time is over",
    ),
];
