//! Which namespaces a process is in.

use std::path::Path;

/// Kinds that CRIU dumps once per container and not again within it (`criu/namespaces.c`); it does know nested mount namespaces.
pub(crate) const KINDS: [&str; 8] = [
    "user",
    "pid",
    "net",
    "ipc",
    "uts",
    "cgroup",
    "time",
    "time_for_children",
];

/// Links as procfs has them (`uts:[4026531838]`), in the order of [`KINDS`]; None: could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Namespaces {
    pub(crate) links: [Option<String>; KINDS.len()],
    pub(crate) mount: Option<String>,
}

impl Namespaces {
    pub(crate) fn read(process: &Path) -> Self {
        let link = |kind: &str| {
            let link = std::fs::read_link(process.join("ns").join(kind)).ok()?;
            Some(link.to_string_lossy().into_owned())
        };
        Self {
            links: KINDS.map(link),
            mount: link("mnt"),
        }
    }

    /// The kinds in which `self` is elsewhere than `other`.
    pub(crate) fn differing(&self, other: &Self) -> Vec<&'static str> {
        let both = self.links.iter().zip(&other.links);
        let differing = both
            .zip(KINDS)
            .filter(|((one, other), _)| one.is_some() && other.is_some() && one != other);
        differing.map(|(_, kind)| kind).collect()
    }

    /// Whether `link` is one of them.
    pub(crate) fn has(&self, link: &str) -> bool {
        self.links
            .iter()
            .chain([&self.mount])
            .flatten()
            .any(|own| own == link)
    }
}
