//! Sessions of `kubectl exec` on a source that will never run again: they end when it is removed, and are told why.
//!
//! A session's first process was put into the container from outside, so its parent is outside; what it writes to stderr is what the user sees.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use godwit_container::host::Host;
use nix::libc::{O_NOCTTY, O_NONBLOCK};

/// Tells every session among the frozen `processes` of a container; gives how many there were.
pub(super) fn tell(host: &Host, processes: &BTreeSet<i32>, note: &str) -> usize {
    let sessions = processes.iter().filter(|pid| {
        let status = fs::read_to_string(host.process(**pid).join("status"));
        status.is_ok_and(|status| is_session(&status, processes))
    });
    let told = sessions.filter(|pid| tell_one(&host.process(**pid).join("fd/2"), note));
    told.count()
}

/// Whether a process with this `/proc/PID/status` was put into the container whose processes these are, and is not its first one.
fn is_session(status: &str, processes: &BTreeSet<i32>) -> bool {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let parent = field("PPid:").and_then(|text| text.trim().parse::<i32>().ok());
    let inside = field("NSpid:").and_then(|text| text.split_whitespace().last());
    parent.is_some_and(|parent| !processes.contains(&parent)) && inside.is_some_and(|inside| inside != "1")
}

/// Only what leads to the user: a file that stderr was sent to is the user's own.
fn tell_one(stderr: &Path, note: &str) -> bool {
    let leads_out = fs::read_link(stderr).is_ok_and(|link| {
        let link = link.to_string_lossy();
        link.starts_with("pipe:[") || link.starts_with("/dev/pts/")
    });
    let mut options = OpenOptions::new();
    let opened = options
        .write(true)
        .custom_flags(O_NONBLOCK | O_NOCTTY)
        .open(stderr)
        .ok()
        .filter(|_| leads_out);
    // On a terminal the cursor may be anywhere.
    opened.is_some_and(|mut stderr| stderr.write_all(format!("\r\n{note}\r\n").as_bytes()).is_ok())
}

#[cfg(test)]
mod tests {
    use std::{
        io::Read,
        process::{Command, Stdio},
    };

    use super::*;

    #[test]
    fn a_session_comes_from_outside_and_is_not_the_first_process() {
        let processes = BTreeSet::from([10, 11, 20, 21]);
        let status = |parent: i32, inside: i32| format!("Name:\tx\nPPid:\t{parent}\nNSpid:\t99\t{inside}\n");
        assert!(!is_session(&status(5, 1), &processes), "the first process");
        assert!(!is_session(&status(10, 2), &processes), "its child");
        assert!(is_session(&status(5, 7), &processes), "a session");
        assert!(!is_session(&status(20, 8), &processes), "its child");
        assert!(!is_session("", &processes));
    }

    #[test]
    fn what_does_not_lead_to_the_user_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("errors");
        for (is_file, told) in [(true, false), (false, true)] {
            let stderr = if is_file {
                fs::File::create(&file).unwrap().into()
            } else {
                Stdio::piped()
            };
            let mut child = Command::new("sleep").arg("60").stderr(stderr).spawn().unwrap();
            let path = Host::own()
                .process(i32::try_from(child.id()).unwrap())
                .join("fd/2");
            assert_eq!(tell_one(&path, "moved"), told);
            child.kill().unwrap();
            child.wait().unwrap();
            if let Some(mut stderr) = child.stderr.take() {
                let mut text = String::new();
                stderr.read_to_string(&mut text).unwrap();
                assert_eq!(text, "\r\nmoved\r\n");
            }
        }
        assert_eq!(fs::read(file).unwrap(), b"");
    }
}
