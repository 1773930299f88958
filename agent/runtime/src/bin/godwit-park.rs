//! What a parking init container runs: `pass` ends at once; `last` waits and ends with 0 on SIGUSR1, with 143 on SIGTERM.
//! It needs no file, no capability and no particular user, and runs as PID 1.

use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("pass") => ExitCode::SUCCESS,
        Some("last") => wait(),
        _ => ExitCode::from(2),
    }
}

/// Blocked signals reach even PID 1, which gets no default action for any.
fn wait() -> ExitCode {
    let signals = SigSet::from_iter([Signal::SIGUSR1, Signal::SIGTERM, Signal::SIGINT]);
    if signals.thread_block().is_err() {
        return ExitCode::FAILURE;
    }
    loop {
        match signals.wait() {
            Ok(Signal::SIGUSR1) => return ExitCode::SUCCESS,
            Ok(signal) => return ExitCode::from(128 + u8::try_from(signal as i32).unwrap_or(0)),
            Err(_) => {}
        }
    }
}
