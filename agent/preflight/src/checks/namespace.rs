//! Namespaces within a container: CRIU dumps one of each kind ("Can't dump nested … namespace"), but for mount namespaces.

use super::report::{Found, Report};
use crate::process::Process;
use crate::process::descriptor::Descriptor;
use crate::scene::Seen;

const NESTED: &str = "NestedNamespaceUnsupported";
const HELD: &str = "NamespaceDescriptorUnsupported";
/// Both.
#[cfg(test)]
pub(super) const NAMES: &[&str] = &[NESTED, HELD];

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
        for descriptor in &process.descriptors {
            if let Some(link) = foreign(container, descriptor) {
                held(container, process, descriptor, link, report);
            }
        }
    }
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
