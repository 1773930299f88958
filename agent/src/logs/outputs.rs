//! The pipes into which a container writes what is logged.
//!
//! Which they are is known from the descriptors of its first process at its start, as runc keeps them for a restore (`descriptors.json`: what
//! `/proc/PID/fd/0` to `2` were links to). The first process may have put something else there since.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use godwit_container::host::Host;
use nix::libc::O_NONBLOCK;

use super::Stream;

/// Descriptors that are looked at in search of a pipe.
const MAX_LINKS: usize = 16_384;

/// Further write ends of the pipes of a container. As long as they are held open the pipes do not end.
#[derive(Debug, Default)]
pub struct Outputs([Option<File>; 2]);

impl Outputs {
    /// Finds the pipes among the descriptors of these processes of the container, the first one first. A stream that is no pipe, or that no
    /// process has open any more, is left out.
    pub fn find(host: &Host, descriptors: &Path, processes: &[i32]) -> Self {
        let links = fs::read(descriptors).ok();
        let links: Vec<String> = links
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        let find = |stream: Stream| {
            let link = links.get(stream.index() + 1)?;
            let found = link
                .starts_with("pipe:[")
                .then(|| holder(host, link, stream, processes))??;
            let mut options = OpenOptions::new();
            options.write(true).custom_flags(O_NONBLOCK).open(found).ok()
        };
        Self(Stream::ALL.map(find))
    }

    /// Which streams were found.
    pub fn found(&self) -> [bool; 2] {
        [self.0[0].is_some(), self.0[1].is_some()]
    }

    /// Writes into a stream, never waiting for room; up to 4 KiB are written whole or not at all.
    pub fn write(&self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        match self.0[stream.index()].as_ref() {
            Some(mut pipe) => pipe.write_all(bytes),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// A descriptor that is the pipe `link`.
fn holder(host: &Host, link: &str, stream: Stream, processes: &[i32]) -> Option<PathBuf> {
    let is_it = |path: &PathBuf| fs::read_link(path).is_ok_and(|found| found.as_os_str() == link);
    let usual = processes.iter().map(|pid| {
        host.process(*pid)
            .join("fd")
            .join((stream.index() + 1).to_string())
    });
    let any = processes
        .iter()
        .filter_map(|pid| fs::read_dir(host.process(*pid).join("fd")).ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()));
    usual.take(MAX_LINKS).chain(any.take(MAX_LINKS)).find(is_it)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, Read},
        process::{Child, Command, Stdio},
    };

    use super::*;

    struct Program(Child);

    impl Program {
        fn start(script: &str) -> Self {
            let mut child = Command::new("sh")
                .args(["-c", &format!("{script} echo here; exec sleep 60")])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let mut said = String::new();
            let stderr = child.stderr.as_mut().unwrap();
            BufReader::with_capacity(1, stderr).read_line(&mut said).unwrap();
            Self(child)
        }

        fn pid(&self) -> i32 {
            i32::try_from(self.0.id()).unwrap()
        }
    }

    impl Drop for Program {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn pipe_of(end: &impl std::os::fd::AsRawFd) -> String {
        let link = fs::read_link(format!("/proc/self/fd/{}", end.as_raw_fd())).unwrap();
        link.to_str().unwrap().to_owned()
    }

    /// What is found of a program whose first descriptors were its pipes.
    fn find(program: &Program, stdout: &str) -> Outputs {
        let dir = tempfile::tempdir().unwrap();
        let descriptors = dir.path().join("descriptors.json");
        fs::write(
            &descriptors,
            serde_json::to_vec(&["/dev/null", stdout, "/dev/null"]).unwrap(),
        )
        .unwrap();
        Outputs::find(&Host::own(), &descriptors, &[program.pid()])
    }

    #[test]
    fn a_pipe_is_found_where_it_was_and_where_it_has_gone() {
        for script in [
            "exec 1>&1; echo here >&2;",
            "exec 5>&1 1>/dev/null; echo here >&2;",
        ] {
            let mut program = Program::start(script);
            let stdout = program.0.stdout.take().unwrap();
            let outputs = find(&program, &pipe_of(&stdout));
            assert_eq!(outputs.found(), [true, false], "{script}");
            outputs.write(Stream::Stdout, b"end\n").unwrap();
            assert!(outputs.write(Stream::Stderr, b"end\n").is_err());
            drop((outputs, program));
            let mut text = String::new();
            { stdout }.read_to_string(&mut text).unwrap();
            assert!(text.ends_with("end\n"), "{script}: {text}");
        }
    }

    #[test]
    fn a_stream_that_was_closed_is_not_found_and_a_full_one_takes_nothing() {
        let mut program = Program::start("echo here >&2; exec 1>/dev/null;");
        let stdout = program.0.stdout.take().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert_eq!(find(&program, &pipe_of(&stdout)).found(), [false, false]);

        let mut program = Program::start("echo here >&2;");
        let stdout = program.0.stdout.take().unwrap();
        let outputs = find(&program, &pipe_of(&stdout));
        let full = (0..1000).find_map(|_| outputs.write(Stream::Stdout, &[b'x'; 4096]).err());
        assert_eq!(full.unwrap().kind(), io::ErrorKind::WouldBlock);
    }
}
