//! What a log of CRIU says about a failure.

use std::path::Path;

use godwit_proc::bounded;

use super::ImageError;

/// How much of a log's end is looked at.
const LIMIT: usize = 256 << 10;
/// How many lines are given at most.
const LINES: usize = 3;
/// How long a line may be, in characters.
const LINE_LIMIT: usize = 300;

/// What CRIU says last on its way out, whatever the cause.
const CONSEQUENCES: [&str; 6] = [
    "Dumping FAILED",
    "Pre-dumping FAILED",
    "Restoring FAILED",
    "Dump files (pid",
    "Killed by signal",
    "exited, status=",
];

/// What is logged as an error also when everything goes well: probes of the kernel and attempts that have a second way.
const HARMLESS: [&str; 6] = [
    "criu/kerndat.c",
    "criu/libnetlink.c",
    "criu/tun.c",
    // On machines whose root lacks CAP_SYS_RESOURCE.
    "Can't setup RLIMIT_NOFILE for self",
    "Can't read link of fd",
    "Compat kernel feature",
];

/// The line (or up to three, joined by "; ") of the log at `path` that names the cause of the failure: the first errors that are neither
/// harmless nor mere consequences. Without time and PID, which differ from run to run. None if the log names no error.
pub fn decisive_line(path: &Path) -> Result<Option<String>, ImageError> {
    bounded::read_tail(path, LIMIT)
        .map(|text| decisive(&text))
        .map_err(ImageError::file("read", path))
}

fn decisive(text: &str) -> Option<String> {
    let errors: Vec<&str> = text.lines().filter_map(error_of).collect();
    let is = |line: &str, marks: &[&str]| marks.iter().any(|mark| line.contains(mark));
    // A log that has nothing better is still better than silence.
    let strict = |line: &&&str| !is(line, &HARMLESS) && !is(line, &CONSEQUENCES);
    let lax = |line: &&&str| !is(line, &CONSEQUENCES);
    let mut chosen: Vec<&str> = errors.iter().filter(strict).copied().collect();
    if chosen.is_empty() {
        chosen = errors.iter().filter(lax).copied().collect();
    }
    if chosen.is_empty() {
        chosen = errors;
    }
    chosen.dedup();
    let lines: Vec<String> = chosen
        .into_iter()
        .take(LINES)
        .map(|line| line.chars().take(LINE_LIMIT).collect())
        .collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

/// From `Error (` on, if the line is an error: before it there are a time in parentheses and perhaps a PID with a colon.
fn error_of(line: &str) -> Option<&str> {
    let at = line.find("Error (")?;
    let before = &line[..at];
    let is_prefix = before
        .chars()
        .all(|one| one.is_ascii_digit() || " ().:".contains(one));
    is_prefix.then(|| line[at..].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_a_failed_dump_is_found_among_harmless_errors_and_consequences() {
        // Written by CRIU 4.2.1, shortened.
        let text = "(00.001003) ========================================\n\
            (00.001027) Dumping processes (pid: 509 comm: sh)\n\
            (00.001040) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted\n\
            (00.005032) Error (criu/tun.c:85): tun: Unable to create tun: No such file or directory\n\
            (00.010710) Dumping ghost file for fd 21 id 0x5\n\
            (00.010711) Error (criu/files-reg.c:1031): Can't dump ghost file /tmp/x of 3145728 size, increase limit\n\
            (00.010716) ----------------------------------------\n\
            (00.010724) Error (criu/cr-dump.c:1545): Dump files (pid: 509) failed with -1\n\
            (00.062534) Unfreezing tasks into 1\n\
            (00.062571) Error (criu/cr-dump.c:1975): Dumping FAILED.\n";
        assert_eq!(
            decisive(text).unwrap(),
            "Error (criu/files-reg.c:1031): Can't dump ghost file /tmp/x of 3145728 size, increase limit"
        );
    }

    #[test]
    fn a_restore_with_pids_before_its_errors_and_one_that_tells_nothing() {
        let text = "(00.010000) Error (criu/libnetlink.c:84): -2 reported by netlink: No such file or directory\n\
            (00.081000)      7: Error (criu/ipc_ns.c:801): Failed to create shm set: File exists\n\
            (00.081100)      7: Error (criu/ipc_ns.c:897): Failed to prepare shm segment\n\
            (00.090000) Error (criu/cr-restore.c:1230): 4242 exited, status=1\n\
            (00.091000) Error (criu/cr-restore.c:2540): Restoring FAILED.\n";
        assert_eq!(
            decisive(text).unwrap(),
            "Error (criu/ipc_ns.c:801): Failed to create shm set: File exists; \
             Error (criu/ipc_ns.c:897): Failed to prepare shm segment"
        );
    }

    #[test]
    fn if_nothing_better_is_there_the_rest_will_do() {
        let only = "(00.010000) Error (criu/kerndat.c:100): no feature\n(00.02) Error (criu/cr-dump.c:1): Dumping FAILED.\n";
        assert_eq!(decisive(only).unwrap(), "Error (criu/kerndat.c:100): no feature");
        assert_eq!(
            decisive("(00.02) Error (criu/cr-dump.c:1): Dumping FAILED.\n").unwrap(),
            "Error (criu/cr-dump.c:1): Dumping FAILED."
        );
    }

    #[test]
    fn a_good_log_has_none_and_text_of_the_workload_is_no_error() {
        assert_eq!(decisive("(00.1) Dumping finished successfully\n"), None);
        assert_eq!(decisive("(00.1) argv: sh -c echo Error (x)\n"), None);
        assert_eq!(decisive(""), None);
    }

    #[test]
    fn long_logs_and_lines_are_bounded() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = format!(
            "Error (early.c:1): out of reach\n{}(00.9) Error (late.c:1): {}\n",
            "x\n".repeat(LIMIT),
            "y".repeat(9999)
        );
        std::fs::write(file.path(), text).unwrap();
        let line = decisive_line(file.path()).unwrap().unwrap();
        assert!(
            line.starts_with("Error (late.c:1)") && line.chars().count() == LINE_LIMIT,
            "{line}"
        );
        assert_eq!(
            decisive_line(Path::new("/nonexistent")).unwrap_err().reason(),
            "ImageUnusable"
        );
    }
}
