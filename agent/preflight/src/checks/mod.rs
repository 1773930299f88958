//! What processes do that CRIU cannot take along, or loses: one module per idea.

mod bpf;
mod connections;
mod deleted;
mod device;
mod mount;
mod multicast;
mod namespace;
mod netlink;
mod other;
mod perf;
mod queue;
mod report;
mod ring;
mod seccomp;
mod secret;
mod semaphore;
mod socket;
mod state;
mod stopped;
mod sysv;
mod timer;
mod traced;
mod unix;
mod uprobe;
mod userfault;
mod watch;

use crate::finding::Finding;
use crate::scene::Scene;
use crate::subject::Pod;

use self::report::{Place, Report};

/// Of one process.
type Check = fn(&Place<'_>, &mut Report);

const OF_A_PROCESS: [Check; 21] = [
    ring::look,
    perf::look,
    bpf::look,
    userfault::look,
    seccomp::look,
    secret::look,
    semaphore::look,
    other::look,
    watch::look,
    timer::look,
    uprobe::look,
    device::look,
    socket::look,
    netlink::look,
    unix::look,
    connections::look,
    deleted::look,
    mount::look,
    traced::look,
    state::look,
    stopped::look,
];

/// Every check on everything.
pub(crate) fn all(pod: &Pod, scene: &Scene) -> Vec<Finding> {
    let mut report = Report::default();
    for container in &scene.containers {
        for check in OF_A_PROCESS {
            for process in &container.processes {
                check(
                    &Place {
                        pod,
                        scene,
                        container,
                        process,
                    },
                    &mut report,
                );
            }
        }
        namespace::look(container, &mut report);
        queue::look(container, &mut report);
    }
    connections::half_open(scene, &mut report);
    sysv::look(scene, &mut report);
    multicast::look(scene, &mut report);
    report.findings
}

/// Checks whose object may be gone in a moment: a second look has to find it too.
pub(crate) fn may_pass(check: &str) -> bool {
    [state::CHECK, stopped::CHECK, netlink::CHECK, connections::CHECK].contains(&check)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use godwit_crds::checks::{CheckInfo, processes};

    use super::*;

    /// Names as the modules here have them.
    fn names() -> BTreeSet<&'static str> {
        let several = [deleted::NAMES, device::NAMES, namespace::NAMES, socket::NAMES];
        let one = [
            bpf::CHECK,
            connections::CHECK,
            mount::CHECK,
            multicast::CHECK,
            netlink::CHECK,
            other::CHECK,
            perf::CHECK,
            queue::CHECK,
            ring::CHECK,
            seccomp::CHECK,
            secret::CHECK,
            semaphore::CHECK,
            state::CHECK,
            stopped::CHECK,
            timer::CHECK,
            traced::CHECK,
            unix::CHECK,
            uprobe::CHECK,
            userfault::CHECK,
            watch::CHECK,
        ];
        several.concat().into_iter().chain(one).collect()
    }

    #[test]
    fn every_check_is_documented_and_every_documented_one_is_here() {
        let documented: BTreeSet<&str> = processes::ALL
            .iter()
            .map(|check: &CheckInfo| check.name)
            .collect();
        assert_eq!(names(), documented);
    }

    #[test]
    fn only_what_may_pass_or_is_lost_can_be_accepted() {
        for check in processes::ALL.iter().filter(|check| check.acceptable) {
            let is_loss = [namespace::THREAD, multicast::CHECK, semaphore::CHECK].contains(&check.name);
            assert!(may_pass(check.name) || is_loss, "{}", check.name);
        }
    }
}
