//! POSIX message queues: CRIU dumps an empty mount of them only ("mqueue isn't empty").

use std::path::Path;

use super::report::{Found, Report};
use crate::scene::Seen;

pub(super) const CHECK: &str = "MessageQueueUnsupported";
const CURE: &str = "remove the queue (mq_unlink), or use a socket";
/// Named in a finding; more are not read.
const MOST: usize = 4;

pub(super) fn look(container: &Seen, report: &mut Report) {
    let Some(process) = container.first() else {
        return;
    };
    let queues = container
        .mounts_of(process)
        .iter()
        .filter(|mount| mount.kind == "mqueue");
    for mount in queues {
        let below = mount.point.strip_prefix("/").unwrap_or(&mount.point);
        let directory = process.proc.join("root").join(below);
        for name in names(&directory) {
            report.add(
                true,
                container,
                None,
                Found {
                    check: CHECK,
                    object: name,
                    what: "has a POSIX message queue",
                    cure: CURE,
                },
            );
        }
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .take(MOST)
        .map(|entry| format!("/{}", entry.file_name().to_string_lossy()))
        .collect()
}
