//! The supervisor's side of a call.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, setsid};

use super::files::{self, Supervisor};
use super::{CallError, GROUP, Outcome, RuntimeCall, ending};
use crate::cgroup::OwnGroup;
use crate::process::ProcessId;

/// The OOM killer takes others first: a CRIU that dies half-way is worse than a failed migration. Best effort, since lowering it needs a
/// capability.
const OOM_SCORE_ADJ: &str = "-900";

/// Runs the call in `directory` and returns the exit status for the process: 0 once `result.json` is written. To be called by the
/// process that a [`super::Launcher`] starts, before it has a second thread (the kernel lets no process with threads into another mount namespace).
pub fn supervise(directory: &Path) -> u8 {
    let done = run(directory);
    let Err(error) = done else { return 0 };
    let message = with_causes(&error);
    tracing::error!(%message, "the runtime call could not be run");
    let _ = std::fs::write(directory.join(files::LOG), &message);
    let now = files::unix_us();
    let outcome = Outcome {
        error: Some(message),
        started_unix_us: now,
        ended_unix_us: now,
        ..Outcome::default()
    };
    // Never over the result of a call that was run.
    if !directory.join(files::RESULT).exists() {
        let _ = files::write(directory, files::RESULT, &outcome);
    }
    1
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn run(directory: &Path) -> Result<(), CallError> {
    let prepare = |what| {
        let directory = directory.to_owned();
        move |error: std::io::Error| CallError::Prepare {
            directory,
            what,
            source: error,
        }
    };
    let call: RuntimeCall = files::read(directory, files::CALL)?;
    let program = match call.argv.first() {
        Some(program) if program.starts_with('/') => program.clone(),
        _ => return Err(CallError::NotAbsolute { argv: call.argv }),
    };
    // A launcher that made this process a session's leader has done it already.
    match setsid() {
        Ok(_) | Err(Errno::EPERM) => {}
        Err(error) => return Err(prepare("session")(error.into())),
    }
    let signals = block_signals().map_err(|error| prepare("signals")(error.into()))?;
    // What the program leaves behind becomes a child of this process and does not escape.
    prctl::set_child_subreaper(true).map_err(|error| prepare("subreaper")(error.into()))?;
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    // The group first: until then the end of the agent's pod is the end of this process.
    let group = |source| CallError::Group { source };
    OwnGroup::new(&call.host, call.group, GROUP)
        .map_err(group)?
        .join(own)
        .map_err(group)?;
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ);
    call.host.enter().map_err(prepare("namespaces"))?;
    let process = ProcessId::of(&call.host.proc, own).map_err(prepare("identity"))?;
    let output =
        |name| files::create(&directory.join(name)).map_err(CallError::file("write", directory.join(name)));
    let (stdout, stderr) = (output(files::STDOUT)?, output(files::STDERR)?);
    files::write(directory, files::SUPERVISOR, &Supervisor { process })?;

    let started_unix_us = files::unix_us();
    let child = spawn(&program, &call, stdout, stderr).map_err(prepare("program"))?;
    let mut outcome = wait(&call, own, &child, &signals);
    outcome.started_unix_us = started_unix_us;
    outcome.ended_unix_us = files::unix_us();
    files::write(directory, files::RESULT, &outcome)
}

fn spawn(program: &str, call: &RuntimeCall, stdout: File, stderr: File) -> std::io::Result<Child> {
    // The standard library empties the signal mask for the program.
    Command::new(program)
        .args(&call.argv[1..])
        .env_clear()
        .envs(&call.env)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
}

/// Children are learnt of through a descriptor, and whoever ends agents politely does not end their calls.
fn block_signals() -> nix::Result<SignalFd> {
    let mut mask = SigSet::empty();
    mask.add(Signal::SIGCHLD);
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    for other in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        mask.add(other);
    }
    mask.thread_block()?;
    Ok(signals)
}

/// Waits until the program and all it has started have ended, or ends them at the deadline.
fn wait(call: &RuntimeCall, own: i32, child: &Child, signals: &SignalFd) -> Outcome {
    let main = Pid::from_raw(i32::try_from(child.id()).unwrap_or_default());
    let until = Instant::now() + call.deadline;
    let mut outcome = Outcome::default();
    loop {
        if !reap(main, &mut outcome) {
            return outcome;
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            outcome.timed_out = true;
            outcome.frozen = ending::end_tree(&call.host, own, call.freeze_first.as_ref(), || {
                reap(main, &mut outcome);
            });
            reap(main, &mut outcome);
            return outcome;
        }
        // Rounded up, so that the last turn is not a busy one.
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX);
        let _ = poll(
            &mut [PollFd::new(std::os::fd::AsFd::as_fd(signals), PollFlags::POLLIN)],
            timeout,
        );
        while matches!(signals.read_signal(), Ok(Some(_))) {}
    }
}

/// Takes the status of every child that has ended, and whether there are any more.
fn reap(main: Pid, outcome: &mut Outcome) -> bool {
    loop {
        match waitid(
            Id::All,
            WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT,
        ) {
            Ok(WaitStatus::StillAlive) => return true,
            Ok(status) => {
                let Some(pid) = status.pid() else { return true };
                let taken = waitpid(pid, Some(WaitPidFlag::WNOHANG));
                if pid == main {
                    record(taken, outcome);
                }
            }
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

fn record(status: nix::Result<WaitStatus>, outcome: &mut Outcome) {
    match status {
        Ok(WaitStatus::Exited(_, code)) => outcome.exit = Some(code),
        Ok(WaitStatus::Signaled(_, signal, _)) => outcome.signal = Some(signal as i32),
        _ => {}
    }
}
