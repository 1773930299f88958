//! The end of the log of a container that will never write again.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{END, LogReader, Outputs, Stream, without_ends};

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_micros(200);
/// Bytes that a container runtime may have kept back; far more than its pipes hold.
const MOST: u64 = 64 << 20;

/// What a log had not been read of yet.
#[derive(Debug, PartialEq, Eq)]
pub struct Rest {
    /// Its lines.
    pub lines: Vec<u8>,
    /// Whether they are all that the container has written.
    pub complete: bool,
}

/// Marks the end of both streams; gives of which it could be marked. `note` is read by whoever is attached.
pub fn mark_ends(outputs: &Outputs, note: &str) -> [bool; 2] {
    let found = outputs.found();
    Stream::ALL.map(|stream| {
        // Told once, on stderr if there is one.
        let tells = stream == Stream::Stderr || !found[Stream::Stderr.index()];
        let mut bytes = vec![END];
        bytes.extend_from_slice(if tells { note.as_bytes() } else { b"" });
        bytes.push(b'\n');
        outputs.write(stream, &bytes).is_ok()
    })
}

/// Reads on until the ends that were `marked` are there, or until `until`. Blocks.
pub fn read_to_ends(reader: &mut LogReader, outputs: &Outputs, marked: [bool; 2], until: Instant) -> Rest {
    let mut read = Vec::new();
    loop {
        let readable = reader.copy(&mut read, MOST).is_ok();
        let (lines, seen) = without_ends(&read, marked);
        if seen == marked || !readable || Instant::now() >= until {
            // A stream that could not be marked may have more to come.
            let complete = seen == outputs.found();
            return Rest { lines, complete };
        }
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        io::{BufRead, BufReader, Read, Write},
        path::Path,
        process::{Child, Command, Stdio},
    };

    use godwit_container::host::Host;

    use super::*;

    /// A container with a runtime that writes down what it says.
    struct Logged {
        child: Child,
        dir: tempfile::TempDir,
    }

    impl Logged {
        fn start(script: &str, late: Duration) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let log = dir.path().join("0.log");
            File::create(&log).unwrap();
            let mut child = Command::new("sh")
                .args(["-c", &format!("{script}; exec sleep 60")])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
            let link = |fd: &dyn std::os::fd::AsRawFd| {
                let link = fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap();
                link.to_str().unwrap().to_owned()
            };
            let links = ["/dev/null".to_owned(), link(&stdout), link(&stderr)];
            let descriptors = dir.path().join("descriptors.json");
            fs::write(&descriptors, serde_json::to_vec(&links).unwrap()).unwrap();
            write_down(stdout, "stdout", &log, late);
            write_down(stderr, "stderr", &log, late);
            Self { child, dir }
        }

        fn rest(&self, wanted: &str, patience: Duration) -> Rest {
            let path = self.dir.path().join("0.log");
            let began = Instant::now();
            while !fs::read_to_string(&path).unwrap().contains(wanted) {
                assert!(began.elapsed() < Duration::from_secs(20), "{wanted} never came");
                thread::sleep(Duration::from_millis(5));
            }
            let (mut reader, _) = LogReader::open(&path, MOST).unwrap();
            // What comes after that line in the script is done, too.
            thread::sleep(Duration::from_millis(50));
            let pid = i32::try_from(self.child.id()).unwrap();
            let descriptors = self.dir.path().join("descriptors.json");
            let outputs = Outputs::find(&Host::own(), &descriptors, &[pid]);
            let marked = mark_ends(&outputs, "moved");
            read_to_ends(&mut reader, &outputs, marked, Instant::now() + patience)
        }
    }

    impl Drop for Logged {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    fn write_down(stream: impl Read + Send + 'static, name: &'static str, log: &Path, late: Duration) {
        let mut log = File::options().append(true).open(log).unwrap();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let line = [format!("T {name} F ").as_bytes(), &line.unwrap(), b"\n"].concat();
                thread::sleep(late);
                log.write_all(&line).unwrap();
            }
        });
    }

    const PATIENT: Duration = Duration::from_secs(20);

    #[test]
    fn a_line_that_was_not_finished_is_read_as_a_part() {
        let logged = Logged::start("printf 'whole\\nhal'; echo error >&2", Duration::ZERO);
        let rest = logged.rest("error", PATIENT);
        let mut lines: Vec<_> = std::str::from_utf8(&rest.lines).unwrap().lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, ["T stderr F error", "T stdout F whole", "T stdout P hal"]);
        assert!(rest.complete);
    }

    #[test]
    fn a_runtime_that_is_late_is_waited_for_and_not_for_ever() {
        let late = Duration::from_millis(200);
        let script = "echo first >&2; printf 'one\\ntwo\\nthree\\n'";
        let rest = Logged::start(script, late).rest("first", PATIENT);
        let text = String::from_utf8(rest.lines).unwrap();
        assert!(rest.complete && text.contains("three"), "{text}");
        let rest = Logged::start(script, late).rest("first", Duration::ZERO);
        assert!(!rest.complete);
    }

    #[test]
    fn streams_that_have_ended_are_not_waited_for() {
        let logged = Logged::start("echo last >&2; exec 1>/dev/null 2>/dev/null", Duration::ZERO);
        let rest = logged.rest("last", PATIENT);
        assert_eq!(rest.lines, b"T stderr F last\n");
    }
}
