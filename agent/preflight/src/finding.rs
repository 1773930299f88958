//! One thing that was found.

/// It names what stands in the way, and the cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check, a stable `PascalCase` name.
    pub check: &'static str,
    /// Whether the pod is not moved because of it; else it is a warning.
    pub refuse: bool,
    /// The container's name.
    pub container: String,
    /// The process, as it is numbered inside the pod. None: no single process.
    pub pid: Option<u32>,
    /// The process's name (`comm`); empty without one.
    pub process: String,
    /// What it is about: a descriptor, a path, a socket.
    pub object: String,
    /// For people: names container, process, object and cure.
    pub message: String,
}

impl Finding {
    /// Whether two looks have found the same.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        (self.check, &self.container, self.pid, &self.object)
            == (other.check, &other.container, other.pid, &other.object)
    }
}
