//! Running a program of the host, in the host's mount namespace.

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use tokio::process::Command;

use super::node::NodeError;

/// `PATH` in which programs of the host are looked for.
const HOST_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs `argv` on the host whose root is seen at `root`, and gives its output if it ends well within `deadline`.
///
/// PID, network and IPC namespaces are the host's already (the agent's pod shares them); only the mounts differ. With
/// root `/` the agent is on the host itself.
pub async fn run(root: &Path, argv: &[&str], deadline: Duration) -> Result<String, NodeError> {
    let program = argv.join(" ");
    let spawn_error = |source| NodeError::Spawn {
        program: program.clone(),
        source,
    };
    let output = match tokio::time::timeout(deadline, output(root, argv)).await {
        Ok(result) => result.map_err(spawn_error)?,
        Err(_) => {
            return Err(NodeError::Deadline {
                program,
                seconds: deadline.as_secs(),
            });
        }
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let last = String::from_utf8_lossy(&output.stderr);
    let last = last
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no message");
    let message = format!("{} ({})", last.trim(), output.status);
    Err(NodeError::Failed { program, message })
}

async fn output(root: &Path, argv: &[&str]) -> io::Result<Output> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", HOST_PATH)
        .env("LC_ALL", "C")
        .current_dir("/");
    command.stdin(Stdio::null()).kill_on_drop(true);
    if root != Path::new("/") {
        // `/proc/1/root` and `/proc/1/ns/mnt` belong to the same process.
        let mounts = File::open(root.with_file_name("ns").join("mnt"))?;
        enter_mounts(&mut command, mounts);
    }
    command.output().await
}

fn enter_mounts(command: &mut Command, mounts: File) {
    // SAFETY: the closure runs in the forked child before exec and makes two system calls (setns, chdir) on values made
    // before the fork; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            setns(&mounts, CloneFlags::CLONE_NEWNS)?;
            nix::unistd::chdir(c"/")?;
            Ok(())
        });
    }
}
