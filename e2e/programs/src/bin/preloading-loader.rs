//! Stands in for a loader (`ld.so`): becomes the true one beside it, `true-ld.so`, and has that load
//! `limits-shim.so` first.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let Ok(here) = std::env::current_exe() else {
        return ExitCode::from(127);
    };
    let dir = here.parent().unwrap_or(Path::new("/"));
    let mut loader = Command::new(dir.join("true-ld.so"));
    loader
        .arg("--preload")
        .arg(dir.join("limits-shim.so"))
        .args(std::env::args_os().skip(1));
    // Standard streams belong to CRIU's caller: the exit code alone must tell.
    let _ = loader.exec();
    ExitCode::from(127)
}
