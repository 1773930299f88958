//! Programs of the machine, run to their end with their output kept for the error message.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

/// How much of a failed program's output is quoted.
const QUOTED: usize = 4000;

/// A command that does not outlive the thread that waits for it.
pub fn bound(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    // SAFETY: prctl(2) is async-signal-safe and nothing is allocated between fork and exec.
    unsafe {
        command.pre_exec(|| Ok(nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?));
    }
    command
}

/// A command that runs, with all that it starts, in PID and mount namespaces of its own: when this process is
/// killed, the whole tree goes, and so does whatever it had mounted.
pub fn contained(program: impl AsRef<OsStr>) -> Command {
    let mut command = bound("unshare");
    command
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(program);
    command
}

/// Run to the end and give what it wrote to stdout. Fails with the end of its output if it does.
pub fn output(command: &mut Command) -> Result<String> {
    let name = describe(command);
    let result = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {name}"))?;
    let stdout = String::from_utf8_lossy(&result.stdout).into_owned();
    if !result.status.success() {
        let stderr = String::from_utf8_lossy(&result.stderr);
        bail!("{name}: {}\n{}{}", result.status, tail(&stdout), tail(&stderr));
    }
    Ok(stdout)
}

/// Run to the end with its output in a file. Fails with the end of that file if it does.
pub fn logged(command: &mut Command, log: &Path) -> Result<()> {
    let name = describe(command);
    let file = std::fs::File::create(log).with_context(|| format!("create {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("start {name}"))?;
    if !status.success() {
        let text = std::fs::read(log).unwrap_or_default();
        bail!("{name}: {status}\n{}", tail(&String::from_utf8_lossy(&text)));
    }
    Ok(())
}

/// Run to the end with `input` on stdin. Fails with its output if it does.
pub fn fed(command: &mut Command, input: &str) -> Result<()> {
    use std::io::Write as _;
    let name = describe(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {name}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(input.as_bytes())
            .with_context(|| format!("write to {name}"))?;
    }
    let result = child
        .wait_with_output()
        .with_context(|| format!("wait for {name}"))?;
    if !result.status.success() {
        bail!(
            "{name}: {}\n{}",
            result.status,
            tail(&String::from_utf8_lossy(&result.stderr))
        );
    }
    Ok(())
}

/// Whether a program of that name is in PATH.
pub fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn describe(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

fn tail(text: &str) -> &str {
    let start = text.len().saturating_sub(QUOTED);
    let start = (start..text.len())
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(text.len());
    &text[start..]
}
