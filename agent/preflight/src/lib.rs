//! What of a pod's running processes cannot move, found by a look at them: nothing is frozen, traced, signalled or written.
//!
//! - [`look`]: what they do: each check is there because CRIU was seen to fail on it, or to lose something
//!   (`tests/root_dump.rs` dumps one program per row).
//! - [`files`]: files of the node that they have mapped or open, which must be the same at the destination.
//! - [`cpu`]: what their processor offers, which the destination's must offer too: the operator compares.
//!
//! A process that ends during a look has nothing to find. All that is read is bounded.

mod checks;
pub mod cpu;
mod elf;
pub mod files;
mod finding;
mod network;
pub(crate) mod process;
mod scene;
mod subject;

pub use finding::Finding;
pub use subject::{Container, Pod};

/// Looks at the pod. Findings come in the order of containers and checks, each object once per process.
///
/// Needs the capabilities of CRIU itself (`CAP_SYS_PTRACE`, `CAP_CHECKPOINT_RESTORE`; `CAP_SYS_ADMIN` to ask the pod's network namespace about unix
/// sockets); what may not be read is passed over. Blocks for some milliseconds, over 200 if something may be passing: call it on a thread that may.
pub fn look(pod: &Pod) -> Vec<Finding> {
    let scene = scene::Scene::of(pod);
    let mut findings = checks::all(pod, &scene);
    if findings.iter().any(|found| checks::may_pass(found.check)) {
        // A disk answers, a program reads: what was only passing is gone by a second look.
        std::thread::sleep(scene::AGAIN);
        let again = checks::all(pod, &scene::Scene::of(pod));
        findings
            .retain(|found| !checks::may_pass(found.check) || again.iter().any(|other| other.is_like(found)));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_are_gone_have_nothing_to_find() {
        let pod = Pod {
            proc: "/proc".into(),
            containers: vec![Container {
                name: "app".into(),
                pids: vec![u32::MAX, u32::MAX - 1],
                mounts: Vec::new(),
            }],
            ghost_limit: 0,
            watches_on_overlay: false,
        };
        assert_eq!(look(&pod), []);
        assert_eq!(files::used(&pod, &mut files::Cache::default()), []);
    }
}
