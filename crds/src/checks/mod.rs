//! Every check that stands between a pod and its move, as data.

pub mod cpu;
pub mod files;
pub mod processes;

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

/// A check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckInfo {
    /// Stable name, `PascalCase`.
    pub name: &'static str,
    /// Who runs it.
    pub runs_by: RunsBy,
    /// Whether its refusal can be turned into a warning.
    pub acceptable: bool,
    /// What is refused or warned of.
    pub refuses: &'static str,
    /// What CRIU, the kernel or Kubernetes would do or lose.
    pub why: &'static str,
    /// What to change.
    pub cure: &'static str,
}
