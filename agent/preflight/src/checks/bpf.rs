//! Programs, maps and links of BPF: CRIU "can't dump file of that type". It knows maps of two kinds if built with libbpf, which Debian's is not.

use super::report::{Place, Report, describe};

pub(super) const CHECK: &str = "BpfUnsupported";
const CURE: &str = "BPF objects stay with the node's kernel: load them from a pod that is not moved";

pub(super) fn look(place: &Place<'_>, report: &mut Report) {
    let names = [
        "bpf-map",
        "bpf-prog",
        "bpf_link",
        "bpf-link",
        "btf",
        "bpf-iter",
        "bpf_iter",
        "bpf-token",
    ];
    for descriptor in place.anonymous(&names) {
        report.refuse(CHECK, place, describe(descriptor), "holds a BPF object", CURE);
    }
}
