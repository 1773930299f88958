//! Namespaces within a container: CRIU dumps one of each kind ("Can't dump nested … namespace"), but for mount namespaces.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::report::{Found, Report};
use crate::process::Process;
use crate::process::descriptor::Descriptor;
use crate::scene::Seen;

const NESTED: &str = "NestedNamespaceUnsupported";
const HELD: &str = "NamespaceDescriptorUnsupported";
/// Restored, such a thread is where its process is, and nobody says so: CRIU's images have namespaces per process.
pub(super) const THREAD: &str = "ThreadNamespaceUnsupported";
/// All of them.
#[cfg(test)]
pub(super) const NAMES: &[&str] = &[NESTED, HELD, THREAD];

pub(super) fn look(container: &Seen, report: &mut Report) {
    let Some(first) = container.first() else {
        return;
    };
    for process in &container.processes {
        let differing = process.namespaces.differing(&first.namespaces);
        if !differing.is_empty() {
            let what = "is in namespaces of its own inside the container (a sandbox, a browser, a container in a container)";
            let cure = "run it without its own sandbox (browsers: --no-sandbox with a seccomp profile of the pod instead)";
            let object = differing.join(", ");
            report.add(
                true,
                container,
                Some(process),
                Found {
                    check: NESTED,
                    object,
                    what,
                    cure,
                },
            );
        }
        for kind in thread_kinds(&process.proc) {
            let what = "has a thread that is in another namespace than its process";
            let cure = "let it come back before a move, or do such work in a process of its own";
            let object = kind.to_owned();
            report.add(
                true,
                container,
                Some(process),
                Found {
                    check: THREAD,
                    object,
                    what,
                    cure,
                },
            );
        }
        for descriptor in &process.descriptors {
            if let Some(link) = foreign(container, descriptor) {
                held(container, process, descriptor, link, report);
            }
        }
    }
}

/// Kinds of which a single thread can have one of its own; the others ask for a process of one thread.
const OF_THREADS: [&str; 5] = ["net", "mnt", "uts", "ipc", "cgroup"];
/// Most threads of a process that are looked at.
const MOST_THREADS: usize = 10_000;

/// The kinds in which a thread is elsewhere than its process.
fn thread_kinds(process: &Path) -> BTreeSet<&'static str> {
    let link = |at: &Path, kind: &str| std::fs::read_link(at.join("ns").join(kind)).ok();
    let own = OF_THREADS.map(|kind| (kind, link(process, kind)));
    let threads: Vec<_> = std::fs::read_dir(process.join("task"))
        .into_iter()
        .flatten()
        .flatten()
        .take(MOST_THREADS)
        .collect();
    // The only one is the process itself.
    if threads.len() < 2 {
        return BTreeSet::new();
    }
    let differing = threads.iter().flat_map(|thread| {
        let differs = |(kind, own): &&(&str, Option<PathBuf>)| {
            let other = link(&thread.path(), kind);
            own.is_some() && other.is_some() && *own != other
        };
        own.iter()
            .filter(differs)
            .map(|(kind, _)| *kind)
            .collect::<Vec<&'static str>>()
    });
    differing.collect()
}

fn held(container: &Seen, process: &Process, descriptor: &Descriptor, link: &str, report: &mut Report) {
    let object = format!("descriptor {} ({link})", descriptor.number);
    let what = "holds a namespace open in which no process of the container is";
    report.add(
        true,
        container,
        Some(process),
        Found {
            check: HELD,
            object,
            what,
            cure: "close it",
        },
    );
}

/// A namespace that nobody in the container is in.
fn foreign<'a>(container: &Seen, descriptor: &'a Descriptor) -> Option<&'a str> {
    let link = std::str::from_utf8(&descriptor.target).ok()?;
    let (kind, rest) = link.split_once(":[")?;
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];
    let is_namespace = rest.ends_with(']') && kinds.contains(&kind);
    let known = container
        .processes
        .iter()
        .any(|process| process.namespaces.has(link));
    (is_namespace && !known).then_some(link)
}
