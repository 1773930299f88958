//! Every check that stands between a pod and its move, as data: what it looks at, why, and what cures it.
//!
//! The operator and the agents take the names of their checks from here, `docs/limits.md` is generated from here, and so is
//! the list of names that `spec.accept` may hold.

pub mod cpu;
pub mod files;
pub mod later;
pub mod nodes;
pub mod operator;
pub mod processes;
pub mod source;
mod table;

pub use table::{LIMITS_FILE, limits_page};

/// Who runs a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunsBy {
    /// The operator, from what the API server knows.
    Operator,
    /// The agent of the source's node, from the running pod and its node.
    Source,
    /// The agent of the target's node.
    Target,
    /// The source's agent says what is, and the target's agent compares.
    Both,
}

impl RunsBy {
    /// As it is called in the documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Source => "source's agent",
            Self::Target => "target's agent",
            Self::Both => "both agents",
        }
    }
}

/// A check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckInfo {
    /// Stable name, `PascalCase`; what `spec.accept` calls it.
    pub name: &'static str,
    /// Who runs it.
    pub runs_by: RunsBy,
    /// Whether `spec.accept` can turn its refusal into a warning: it is of a risk or a known loss, not of an impossibility.
    pub acceptable: bool,
    /// What is refused or warned of, with the reasons that `status.reason` may give where they are not the name. Begins with
    /// [`WARNS`] where the check never refuses.
    pub refuses: &'static str,
    /// What CRIU, the kernel or Kubernetes would do or lose.
    pub why: &'static str,
    /// What to change.
    pub cure: &'static str,
}

/// How [`CheckInfo::refuses`] of a check begins that never refuses.
pub const WARNS: &str = "Warns";

impl CheckInfo {
    /// True if it never refuses.
    pub fn only_warns(&self) -> bool {
        self.refuses.starts_with(WARNS)
    }
}

/// All checks, by group, in the order of the documentation.
pub const ALL: &[&[CheckInfo]] = &[
    operator::ALL,
    cpu::ALL,
    nodes::ALL,
    source::ALL,
    processes::ALL,
    files::ALL,
    later::ALL,
];

/// Every check.
pub fn all() -> impl Iterator<Item = &'static CheckInfo> {
    ALL.iter().copied().flatten()
}

/// The check of that name.
pub fn find(name: &str) -> Option<&'static CheckInfo> {
    all().find(|check| check.name == name)
}

/// Names that `spec.accept` may hold.
pub fn acceptable() -> impl Iterator<Item = &'static str> {
    all().filter(|check| check.acceptable).map(|check| check.name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_in_pascal_case() {
        let mut seen = BTreeSet::new();
        for check in all() {
            let name = check.name;
            assert!(seen.insert(name), "{name} is there twice");
            assert!(
                name.starts_with(|first: char| first.is_ascii_uppercase())
                    && name.chars().all(|letter| letter.is_ascii_alphanumeric())
                    && name.len() <= 63,
                "{name}"
            );
        }
    }

    #[test]
    fn every_check_says_what_why_and_what_to_do_in_a_line() {
        for check in all() {
            for text in [check.refuses, check.why, check.cure] {
                assert!(!text.is_empty(), "{}", check.name);
                assert!(!text.contains(['\n', '|']), "{}: {text}", check.name);
            }
        }
    }

    #[test]
    fn what_never_refuses_needs_no_accepting_and_what_comes_later_cannot_be_accepted() {
        for check in all().filter(|check| check.acceptable) {
            assert!(!check.only_warns(), "{}", check.name);
            assert!(
                later::ALL.iter().all(|it| it.name != check.name),
                "{}",
                check.name
            );
        }
        assert!(acceptable().count() > 0);
    }

    #[test]
    fn a_check_is_found_by_its_name() {
        assert_eq!(find("PostStartHook"), Some(&operator::POST_START_HOOK));
        assert_eq!(find("Nonsense"), None);
    }
}
