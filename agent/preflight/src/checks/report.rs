//! Where a check looks, and where it writes.

use crate::finding::Finding;
use crate::process::Process;
use crate::process::descriptor::Descriptor;
use crate::scene::{Scene, Seen};
use crate::subject::Pod;

/// Most findings of one look: they go into an object of Kubernetes.
const MOST: usize = 256;
/// Longest text of the pod's own in a message.
const TEXT: usize = 256;

/// One process and what is around it.
pub(super) struct Place<'a> {
    pub(super) pod: &'a Pod,
    pub(super) scene: &'a Scene,
    pub(super) container: &'a Seen,
    pub(super) process: &'a Process,
}

impl Place<'_> {
    /// Descriptors whose target is `anon_inode:` and one of these.
    pub(super) fn anonymous<'p>(&'p self, names: &'p [&str]) -> impl Iterator<Item = &'p Descriptor> {
        self.process.descriptors.iter().filter(move |descriptor| {
            let name = descriptor.target.strip_prefix(b"anon_inode:");
            name.is_some_and(|name| names.iter().any(|it| it.as_bytes() == name))
        })
    }
}

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
}

impl Report {
    /// Something of one process that is not moved. `what` says what it has, `cure` what to do.
    pub(super) fn refuse(
        &mut self,
        check: &'static str,
        place: &Place<'_>,
        object: impl Into<String>,
        what: &str,
        cure: &str,
    ) {
        let found = Found {
            check,
            object: object.into(),
            what,
            cure,
        };
        self.add(true, place.container, Some(place.process), found);
    }

    /// Something of a container, and maybe of one process; a warning unless it is to `refuse`.
    pub(super) fn add(
        &mut self,
        refuse: bool,
        container: &Seen,
        process: Option<&Process>,
        found: Found<'_>,
    ) {
        if self.findings.len() >= MOST {
            return;
        }
        let (name, pid) = process.map_or((String::new(), None), |it| (it.name(), Some(it.inside())));
        let name = short(&name);
        let who = pid.map_or_else(String::new, |pid| format!("{name} (pid {pid}) "));
        let Found {
            check,
            object,
            what,
            cure,
        } = found;
        let object = short(&object);
        let message = format!("container {}: {who}{what}: {object}; {cure}", container.name);
        let finding = Finding {
            check,
            refuse,
            container: container.name.clone(),
            pid,
            process: name,
            object,
            message,
        };
        if !self.findings.iter().any(|other| other.is_like(&finding)) {
            self.findings.push(finding);
        }
    }
}

/// What was found.
pub(super) struct Found<'a> {
    pub(super) check: &'static str,
    pub(super) object: String,
    /// What the process has or does.
    pub(super) what: &'a str,
    pub(super) cure: &'a str,
}

/// Text of the pod's own: without control characters, and of bounded length.
fn short(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .take(TEXT)
        .collect()
}

/// A descriptor in words.
pub(super) fn describe(descriptor: &Descriptor) -> String {
    format!(
        "descriptor {} ({})",
        descriptor.number,
        String::from_utf8_lossy(&descriptor.target)
    )
}
