//! A dump in which nothing happens: CRIU waits for a process that it cannot stop, for as long as that takes.
//!
//! On version 1 of cgroups it waits so for a process that somebody has stopped (SIGSTOP) and the freezer then froze: `PTRACE_SEIZE` of it never gets its
//! event (`compel_wait_task`). Preflight refuses such a pod; a process can be stopped after that. As long as CRIU only seizes processes it can be
//! ended without harm: the kernel lets them go. Afterwards it has put code of its own into them, and is waited for.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    time::Duration,
};

use godwit_container::call::reattach;
use tokio::time::{Instant, sleep};

use super::{dump::DUMP_LOG, facts::SourceContainer};
use crate::{failure::Failure, step::SourceStep};

/// Nothing new for so long is a stall. CRIU itself gives up after ten seconds (`--timeout`) where it can, in better words.
const STALL: Duration = Duration::from_secs(15);
/// What CRIU logs when all processes are seized and it begins with the first (`dump_one_task`, `criu/cr-dump.c`).
const FIRST_TASK: &str = "Dumping task (";
/// What it logs of its way there (`freeze_processes`, `criu/seize.c`), in as much detail: without it the log would be one that does not tell.
const SEIZES: &str = "freezer";
/// The log is looked at no further: that line comes before any process is described.
const LOG_LIMIT: u64 = 4 << 20;

/// Waits until CRIU has stalled while it only seizes processes, ends it, and gives the failure. Never returns if that does not happen.
pub(super) async fn stalled(container: &SourceContainer) -> Failure {
    let said = while_seizing(&container.gate_dir, &container.image_dir, STALL).await;
    if let Ok(Some(call)) = reattach(&container.call_dir) {
        call.end().await;
    }
    Failure::new(
        SourceStep::Dump,
        "DumpStalled",
        format!(
            "container {}: CRIU has waited for {} s for a process that it cannot stop, and was ended (its last words: {said}); is one stopped (SIGSTOP, state T)? Let it go on, and migrate again",
            container.name(),
            STALL.as_secs()
        ),
    )
}

/// Returns CRIU's last line when nothing was written for so long and no process has been touched.
async fn while_seizing(gate: &Path, images: &Path, stall: Duration) -> String {
    let (mut written, mut since) = (0, Instant::now());
    loop {
        sleep(stall / 30).await;
        // What cannot be read has not grown.
        let now = bytes(gate).unwrap_or_default() + bytes(images).unwrap_or_default();
        if now != written {
            (written, since) = (now, Instant::now());
        } else if since.elapsed() >= stall {
            if let Some(line) = seizing(&gate.join(DUMP_LOG)) {
                return line;
            }
            std::future::pending::<()>().await;
        }
    }
}

/// Bytes of the files of a directory.
fn bytes(directory: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(directory)? {
        sum += entry?.metadata()?.len();
    }
    Ok(sum)
}

/// The last line of a log by which CRIU has touched no process yet; none if it has, or there is no log.
fn seizing(log: &Path) -> Option<String> {
    let mut read = Vec::new();
    File::open(log)
        .ok()?
        .take(LOG_LIMIT)
        .read_to_end(&mut read)
        .ok()?;
    let text = String::from_utf8_lossy(&read);
    if text.contains(FIRST_TASK) || !text.contains(SEIZES) {
        return None;
    }
    text.lines().next_back().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const SEIZING: &str = "(00.001) Detected cgroup V1 freezer\n(00.002) Seized task 7, state 0\n";
    const SHORT: Duration = Duration::from_millis(100);
    const LONG: Duration = Duration::from_mins(10);

    /// A directory with that log.
    fn gate(log: &str) -> tempfile::TempDir {
        let gate = tempfile::tempdir().unwrap();
        std::fs::write(gate.path().join(DUMP_LOG), log).unwrap();
        gate
    }

    #[tokio::test]
    async fn a_dump_that_only_waits_is_told_with_its_last_words() {
        let (gate, images) = (gate(SEIZING), tempfile::tempdir().unwrap());
        let said = timeout(LONG, while_seizing(gate.path(), images.path(), SHORT)).await;
        assert_eq!(said.unwrap(), "(00.002) Seized task 7, state 0");
    }

    #[tokio::test]
    async fn a_dump_that_goes_on_is_let_alone() {
        let (gate, images) = (gate(SEIZING), tempfile::tempdir().unwrap());
        let growing = async {
            for number in 0..60 {
                sleep(SHORT / 20).await;
                std::fs::write(images.path().join(number.to_string()), "image").unwrap();
            }
        };
        // Nothing new for a second, on a machine that is busy, is none yet.
        tokio::select! {
            () = growing => {}
            said = while_seizing(gate.path(), images.path(), SHORT * 10) => panic!("{said}"),
        }
    }

    #[tokio::test]
    async fn a_dump_that_has_touched_processes_is_never_ended() {
        let (gate, images) = (
            gate(&format!("{SEIZING}(00.003) {FIRST_TASK}pid: 7 comm: sh)\n")),
            tempfile::tempdir().unwrap(),
        );
        let waited = timeout(SHORT * 5, while_seizing(gate.path(), images.path(), SHORT)).await;
        assert!(waited.is_err());
    }

    #[test]
    fn without_a_log_or_with_one_that_does_not_tell_nothing_is_known() {
        assert_eq!(seizing(Path::new("/nowhere")), None);
        let terse = gate("(00.002) Error (criu/x.c): no\n");
        assert_eq!(seizing(&terse.path().join(DUMP_LOG)), None);
    }
}
