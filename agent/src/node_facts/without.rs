//! Features of the processor that a test wants to be left out, so that a node is poorer than it is. Release builds lack it.
//!
//! With the feature `fault-injection`, the file `/run/godwit/cpu-without` of the node has their names, separated by white space.

use godwit_container::host::Host;
use godwit_crds::cpu::Cpu;

/// The processor as it is to be published.
#[cfg(not(feature = "fault-injection"))]
pub(super) fn applied(_host: &Host, cpu: Cpu) -> Cpu {
    cpu
}

/// The processor as it is to be published.
#[cfg(feature = "fault-injection")]
pub(super) fn applied(host: &Host, mut cpu: Cpu) -> Cpu {
    let path = host.path(std::path::Path::new("/run/godwit/cpu-without"));
    if let Ok(text) = godwit_container::bounded::read_text(&path, 4 << 10) {
        for name in text.split_whitespace() {
            cpu.features.remove(name);
        }
    }
    cpu
}
