//! Descriptors of the kernel that have no file, and that neither CRIU nor another check here knows (`criu/files-ext.c`: "can't dump file of that type").

use super::report::{Place, Report, describe};

pub(super) const CHECK: &str = "DescriptorUnsupported";
const CURE: &str = "CRIU cannot make it anew: close it, or restart the container at the destination with spec.restartContainers";

/// What CRIU dumps.
const KNOWN: [&[u8]; 6] = [
    b"[eventfd]",
    b"[eventpoll]",
    b"[signalfd]",
    b"[timerfd]",
    b"inotify",
    b"[fanotify]",
];
/// What another check refuses with more to say.
const ELSEWHERE: [&[u8]; 5] = [
    b"[io_uring]",
    b"[perf_event]",
    b"[userfaultfd]",
    b"seccomp notify",
    b"btf",
];

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    for descriptor in &place.process.descriptors {
        let Some(name) = descriptor.target.strip_prefix(b"anon_inode:") else {
            continue;
        };
        if is_unknown(name) {
            report.refuse(
                CHECK,
                place,
                describe(descriptor),
                "has a descriptor that cannot be moved",
                CURE,
            );
        }
    }
}

fn is_unknown(name: &[u8]) -> bool {
    // Kernels before 6.9 have pidfd here, later ones a file system of its own.
    let pidfd = name == b"[pidfd]";
    let bpf = name.starts_with(b"bpf-") || name.starts_with(b"bpf_");
    !(KNOWN.contains(&name) || ELSEWHERE.contains(&name) || pidfd || bpf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_knows_is_refused() {
        for name in [
            "[landlock-ruleset]",
            "[fscontext]",
            "kvm-vm",
            "[timens]",
            "sync_file",
            "dmabuf",
            "[vfio-device]",
        ] {
            assert!(is_unknown(name.as_bytes()), "{name}");
        }
        for name in [
            "[eventfd]",
            "[eventpoll]",
            "[signalfd]",
            "[timerfd]",
            "inotify",
            "[fanotify]",
            "[pidfd]",
            "bpf-map",
            "bpf_link",
        ] {
            assert!(!is_unknown(name.as_bytes()), "{name}");
        }
    }
}
