//! The one process of a pod's sandbox: it holds the pod's namespaces, collects orphans, and ends when told to.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};

fn main() {
    let mut signals = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGCHLD] {
        signals.add(signal);
    }
    if signals.thread_block().is_err() {
        std::process::exit(1);
    }
    loop {
        match signals.wait() {
            Ok(Signal::SIGCHLD) => {
                while matches!(
                    waitpid(None, Some(WaitPidFlag::WNOHANG)),
                    Ok(status) if status != WaitStatus::StillAlive
                ) {}
            }
            Ok(_) => std::process::exit(0),
            Err(_) => {}
        }
    }
}
