//! A `create` that becomes a restore: announced, let go by the agent, spawned, verified to be held.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use godwit_memory::causes::with_causes;
use nix::errno::Errno;

use super::{Call, Create, WrapperError, log, runc, started};
use crate::cgroup::Freezer;
use crate::layout::Layout;
use crate::process::{self, Process};
use crate::record::{
    ABORT, FAILED, Failed, HELD, Held, PARKED, Parked, RECORD, RELAY_FAILED, RESTORED, Record, RecordDir,
    Restored, SPAWN, VERSION, WAITING, Waiting, unix_ms,
};
use crate::relay::{ENV_GATE_DEADLINE_MS, ENV_GATE_DIR, ENV_HOLD, ENV_LAZY};
use crate::watch::{Waited, Watch};

/// Made just before `runc restore` is spawned: from then on nothing is tried again.
const TRIED: &str = "tried";
/// How long ending a failed restore may take, for each of its steps.
const CLEAR_MS: u64 = 15_000;

/// Does the restore; an error is told to the agent too.
pub(super) fn instead(
    layout: &Layout,
    call: &Call,
    create: &Create,
    directory: &RecordDir,
) -> Result<(), WrapperError> {
    if directory.has(TRIED)? {
        return Err(WrapperError::TriedBefore);
    }
    let result = held(layout, call, create, directory);
    if let Err(error) = &result {
        let failed = Failed {
            reason: error.reason().to_owned(),
            message: with_causes(error),
        };
        // The error itself goes to containerd in any case.
        let _ = directory.write_json(FAILED, &failed);
    }
    result
}

fn held(layout: &Layout, call: &Call, create: &Create, directory: &RecordDir) -> Result<(), WrapperError> {
    let record = usable(directory)?;
    let watch = Watch::new(directory.path())?;
    directory.write_json(
        PARKED,
        &Parked {
            id: create.id.clone(),
            bundle: create.bundle.clone(),
            pid_file: create.pid_file.clone(),
            rootfs: create.bundle.join("rootfs"),
            runc_root: call.root.clone(),
            unix_ms: unix_ms(),
        },
    )?;
    match watch.wait(directory, &[ABORT, SPAWN], &[], record.deadline_ms)? {
        Waited::File(SPAWN) => {}
        Waited::Deadline | Waited::Descriptor(_) => return Err(WrapperError::AgentAway),
        Waited::File(_) => return Err(aborted(directory)),
    }
    directory.mark(TRIED)?;
    started::begin(layout, &create.id, directory.path())?;
    let child = spawn(layout, call, create, directory, &record)?;
    let verified = finish(child, call, create, directory, &watch, &record).and_then(|held| {
        started::remember(layout, &create.id, directory.path())?;
        directory.write_json(
            RESTORED,
            &Restored {
                pid: held.init_pid,
                id: create.id.clone(),
            },
        )?;
        Ok(())
    });
    if verified.is_ok() {
        watch.close_elsewhere();
        return Ok(());
    }
    verified.inspect_err(|_| {
        clear(call, create, directory);
        let _ = started::forget(layout, &create.id);
    })
}

fn usable(directory: &RecordDir) -> Result<Record, WrapperError> {
    let bad = |why: String| WrapperError::BadRecord {
        path: directory.path().to_path_buf(),
        why,
    };
    let record: Record = directory
        .read_json(RECORD)?
        .ok_or_else(|| bad("is missing".to_owned()))?;
    if record.version != VERSION {
        return Err(bad(format!(
            "is of version {} instead of {VERSION}",
            record.version
        )));
    }
    Ok(record)
}

fn aborted(directory: &RecordDir) -> WrapperError {
    let text = directory
        .read_text(ABORT)
        .ok()
        .flatten()
        .filter(|text| !text.is_empty());
    WrapperError::Aborted(text.unwrap_or_else(|| "no reason given".to_owned()))
}

/// `runc restore` with our own streams, which are the container's; it dies with us.
fn spawn(
    layout: &Layout,
    call: &Call,
    create: &Create,
    directory: &RecordDir,
    record: &Record,
) -> Result<Child, WrapperError> {
    let mut command = runc::command();
    command.args(&call.globals).args([
        "restore",
        "--detach",
        "--tcp-established",
        "--file-locks",
        "--no-subreaper",
    ]);
    let mut option = |name: &str, value: &Path| {
        command.arg(name).arg(value);
    };
    option("--bundle", &create.bundle);
    option("--image-path", &record.image_dir);
    option("--work-path", &record.work_dir);
    if let Some(pid_file) = &create.pid_file {
        option("--pid-file", pid_file);
    }
    command.arg(&create.id);
    command.env("PATH", with_relay(&layout.criu_dir()));
    command.env("CRIU_CONFIG_FILE", layout.criu_config());
    command.env(ENV_GATE_DIR, directory.path());
    command.env(ENV_GATE_DEADLINE_MS, record.deadline_ms.to_string());
    command.env(ENV_HOLD, "1");
    if record.lazy {
        command.env(ENV_LAZY, "1");
    }
    process::die_with_parent(&mut command);
    command.spawn().map_err(WrapperError::Runc)
}

fn with_relay(relay: &Path) -> OsString {
    let mut path = relay.as_os_str().to_os_string();
    if let Some(rest) = env::var_os("PATH").filter(|rest| !rest.is_empty()) {
        path.push(":");
        path.push(rest);
    } else {
        path.push(":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    }
    path
}

/// Waits for runc and verifies what it has done; gives what the relay says of the container.
fn finish(
    mut child: Child,
    call: &Call,
    create: &Create,
    directory: &RecordDir,
    watch: &Watch,
    record: &Record,
) -> Result<Held, WrapperError> {
    let ended = open(&child)?;
    let waited = watch.wait(directory, &[ABORT], &[ended.as_fd()], record.deadline_ms)?;
    if waited != Waited::Descriptor(0) {
        // The relay notices that runc is gone, freezes what there is of the container, and ends it and CRIU.
        ended.kill().map_err(|error| WrapperError::Runc(error.into()))?;
        child.wait().map_err(WrapperError::Runc)?;
        return Err(if waited == Waited::Deadline {
            WrapperError::Deadline
        } else {
            aborted(directory)
        });
    }
    let status = child.wait().map_err(WrapperError::Runc)?;
    if !status.success() {
        return Err(WrapperError::RestoreFailed(
            why(call, directory, record).unwrap_or_else(|| format!("runc: {status}")),
        ));
    }
    let not_held = |why: &str| WrapperError::NotHeld(why.to_owned());
    let held: Held = directory
        .read_json(HELD)?
        .ok_or_else(|| not_held("CRIU's relay did not freeze it"))?;
    if let Some(path) = &create.pid_file {
        let text = fs::read_to_string(path).map_err(|source| WrapperError::Bundle {
            action: "read",
            path: path.clone(),
            source,
        })?;
        if text.trim().parse() != Ok(held.init_pid) {
            return Err(not_held("runc and CRIU name different processes"));
        }
    }
    if !Freezer::of(held.init_pid)?.is_frozen()? {
        return Err(not_held("its cgroup is not frozen"));
    }
    Ok(held)
}

fn open(child: &Child) -> Result<Process, WrapperError> {
    let pid = i32::try_from(child.id()).map_err(|_| WrapperError::Runc(Errno::EOVERFLOW.into()))?;
    Process::open(pid).map_err(|error| WrapperError::Runc(error.into()))
}

/// What is known of a failed restore: the relay's word, else CRIU's decisive line, else runc's own error.
fn why(call: &Call, directory: &RecordDir, record: &Record) -> Option<String> {
    let relay: Option<Failed> = directory.read_json(RELAY_FAILED).ok().flatten();
    let text = |path: &Path| Some(String::from_utf8_lossy(&fs::read(path).ok()?).into_owned());
    // Before runc has called CRIU the log there is none of this restore.
    let reached = directory.has(WAITING).unwrap_or(false);
    let runc = || log::last_error(&text(call.log.as_deref()?)?);
    let criu = || decisive(&text(&record.work_dir.join("restore.log"))?);
    relay
        .filter(|failed| !matches!(failed.reason.as_str(), "CriuGone" | "RuncGone"))
        .map(|failed| failed.message)
        .or_else(|| if reached { criu().or_else(runc) } else { runc() })
}

/// Errors after which CRIU goes on.
const HARMLESS: [&str; 1] = ["Can't setup RLIMIT_NOFILE"];

/// The first error in CRIU's log: those after it follow from it.
fn decisive(text: &str) -> Option<String> {
    let mut errors = text.lines().filter(|line| line.contains("Error ("));
    let line = errors.find(|line| !HARMLESS.iter().any(|harmless| line.contains(harmless)))?;
    let start = line.find("Error")?;
    Some(line[start..].chars().take(500).collect())
}

/// Leaves nothing of a failed restore: the relay has ended it by now, or is made to; then runc forgets the container.
fn clear(call: &Call, create: &Create, directory: &RecordDir) {
    let waiting: Option<Waiting> = directory.read_json(WAITING).ok().flatten();
    let freezer = waiting
        .as_ref()
        .and_then(|waiting| waiting.freezer.as_deref())
        .map(Freezer::at);
    if let Some(waiting) = waiting {
        let relay = Process::open(waiting.relay_pid);
        let gone = relay.as_ref().map_or(true, |relay| ended_within(relay, CLEAR_MS));
        if !gone {
            // Frozen first: CRIU's end sets its tasks free.
            if let Some(freezer) = &freezer {
                let _ = freezer.freeze(Duration::from_secs(1));
            }
            for pid in [waiting.criu_pid, waiting.relay_pid] {
                let _ = Process::open(pid).and_then(|process| process.kill());
            }
        }
    }
    if let Some(freezer) = &freezer {
        let _ = freezer.end_all(Duration::from_millis(CLEAR_MS));
    }
    let mut command = runc::command();
    command
        .args(delete_globals(call))
        .args(["delete", "--force", &create.id]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    wait_briefly(&mut command);
}

/// The globals but for the log: what runc says of the clearing is of no interest.
fn delete_globals(call: &Call) -> Vec<OsString> {
    let mut globals = Vec::new();
    if let Some(root) = &call.root {
        globals.extend([OsString::from("--root"), root.clone().into()]);
    }
    let systemd = |word: &&OsString| *word == "--systemd-cgroup";
    globals.extend(call.globals.iter().filter(systemd).cloned());
    globals
}

fn wait_briefly(command: &mut Command) {
    process::die_with_parent(command);
    let Ok(mut child) = command.spawn() else { return };
    if let Ok(process) = open(&child)
        && !ended_within(&process, CLEAR_MS)
    {
        let _ = process.kill();
    }
    let _ = child.wait();
}

fn ended_within(process: &Process, limit_ms: u64) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let timeout = PollTimeout::try_from(Duration::from_millis(limit_ms)).unwrap_or(PollTimeout::MAX);
    let mut polled = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    poll(&mut polled, timeout).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_decisive() {
        let text = "(00.01) all well\n(00.02)     31: Error (criu/files-reg.c:2143): File bin/x has bad size 1 (expect 2)\n\
            (00.03) Error (criu/cr-restore.c:2324): Restoring FAILED.\n";
        let line = decisive(text).unwrap();
        assert_eq!(
            line,
            "Error (criu/files-reg.c:2143): File bin/x has bad size 1 (expect 2)"
        );
        assert_eq!(decisive("(00.01) fine\n"), None);
    }

    #[test]
    fn the_relay_comes_first() {
        let path = with_relay(Path::new("/var/lib/godwit/criu"));
        let first = env::split_paths(&path).next();
        assert_eq!(first, Some(std::path::PathBuf::from("/var/lib/godwit/criu")));
    }
}
