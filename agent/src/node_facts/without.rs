//! Features of the processor that a test wants to be left out, so that a node is poorer than it is. Release builds lack it.
//!
//! With the feature `fault-injection`, the file `/run/godwit/cpu-without` of the node has their names, separated by white space.

#[cfg(feature = "fault-injection")]
use std::sync::{Mutex, PoisonError};

use godwit_container::host::Host;
use godwit_crds::cpu::Cpu;

/// The names by which the processor that was published last is poorer.
#[cfg(feature = "fault-injection")]
static APPLIED: Mutex<String> = Mutex::new(String::new());

/// The processor as it is to be published.
#[cfg(not(feature = "fault-injection"))]
pub(super) fn applied(_host: &Host, cpu: Cpu) -> Cpu {
    cpu
}

/// Waits until a test asks for something else: never.
#[cfg(not(feature = "fault-injection"))]
pub(super) async fn changed(_host: &Host) {
    std::future::pending::<()>().await;
}

/// The processor as it is to be published.
#[cfg(feature = "fault-injection")]
pub(super) fn applied(host: &Host, mut cpu: Cpu) -> Cpu {
    let names = names(host);
    for name in names.split_whitespace() {
        cpu.features.remove(name);
    }
    *APPLIED.lock().unwrap_or_else(PoisonError::into_inner) = names;
    cpu
}

/// Waits until a test asks for something else than was applied.
#[cfg(feature = "fault-injection")]
pub(super) async fn changed(host: &Host) {
    let applied = || APPLIED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    while names(host) == applied() {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}

/// Empty if nobody asks for anything.
#[cfg(feature = "fault-injection")]
fn names(host: &Host) -> String {
    let path = host.path(std::path::Path::new("/run/godwit/cpu-without"));
    godwit_proc::bounded::read_text(&path, 4 << 10).unwrap_or_default()
}
