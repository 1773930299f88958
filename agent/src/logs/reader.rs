//! A log that is read while it grows, and while kubelet rotates it.
//!
//! To rotate, kubelet renames the file and has the runtime open a new one by the old name (`pkg/kubelet/logs/container_log_manager.go`): what is
//! written in between still goes to the renamed file. So that one is read to its end before the new one is begun.

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

/// Bytes read at once; the runtime's longest lines (16 KiB) are far shorter.
const PIECE: usize = 1 << 18;
/// How long the runtime may go on writing to a file after its successor is there.
const SETTLES: Duration = Duration::from_millis(10);
/// How many files may come after one another in one look; kubelet looks for what to rotate every ten seconds.
const MAX_ROTATIONS: usize = 4;

/// The log of a container, from where it was begun.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    file: File,
    at: u64,
}

impl LogReader {
    /// Opens the log at `path`, to be read from its first line, or from the first one in its last `newest` bytes if it has more: the
    /// second value tells how many bytes are left out.
    pub fn open(path: &Path, newest: u64) -> io::Result<(Self, u64)> {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        let at = if len > newest {
            line_after(&file, len - newest)?
        } else {
            0
        };
        let path = path.to_owned();
        Ok((Self { path, file, at }, at))
    }

    /// Whether there may be something new.
    pub fn has_news(&self) -> bool {
        let len = self.file.metadata().map_or(0, |metadata| metadata.len());
        len != self.at || self.is_rotated().unwrap_or(false)
    }

    /// Writes the whole lines that are there and were not written before, about `limit` bytes of them at most; gives how many bytes that were.
    ///
    /// Blocks, for [`SETTLES`] if the log was rotated.
    pub fn copy(&mut self, to: &mut impl Write, limit: u64) -> io::Result<u64> {
        let mut copied = self.copy_lines(to, limit)?;
        for _ in 0..MAX_ROTATIONS {
            if copied >= limit || !self.is_rotated()? {
                break;
            }
            thread::sleep(SETTLES);
            copied += self.copy_lines(to, limit)?;
            self.file = File::open(&self.path)?;
            self.at = 0;
            copied += self.copy_lines(to, limit)?;
        }
        Ok(copied)
    }

    fn is_rotated(&self) -> io::Result<bool> {
        let own = self.file.metadata()?;
        match fs::metadata(&self.path) {
            Ok(other) => Ok((own.dev(), own.ino()) != (other.dev(), other.ino())),
            // Renamed, and its successor is not there yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn copy_lines(&mut self, to: &mut impl Write, limit: u64) -> io::Result<u64> {
        let len = self.file.metadata()?.len();
        if len < self.at {
            // Somebody has emptied it.
            self.at = 0;
        }
        let mut piece = vec![0; PIECE];
        let mut copied = 0;
        while self.at < len && copied < limit {
            let read = self.file.read_at(&mut piece, self.at)?;
            let whole = match piece[..read].iter().rposition(|byte| *byte == b'\n') {
                Some(newline) => newline + 1,
                // No line of a runtime is so long; whatever it is, it is not held back for ever.
                None if read == PIECE => read,
                None => break,
            };
            to.write_all(&piece[..whole])?;
            copied += whole as u64;
            self.at += whole as u64;
        }
        Ok(copied)
    }
}

/// Where the first line begins that is at `from` or after it.
fn line_after(file: &File, from: u64) -> io::Result<u64> {
    let mut piece = vec![0; PIECE];
    // A line that begins just there has its predecessor's newline before it.
    let start = from.saturating_sub(1);
    let read = file.read_at(&mut piece, start)?;
    let newline = piece[..read].iter().position(|byte| *byte == b'\n');
    Ok(newline.map_or(from, |newline| start + newline as u64 + 1))
}

#[cfg(test)]
mod tests {
    use std::{fs::OpenOptions, path::PathBuf};

    use super::*;

    const ALL: u64 = 1 << 30;

    struct Log(tempfile::TempDir);

    impl Log {
        fn new(text: &str) -> Self {
            let log = Self(tempfile::tempdir().unwrap());
            log.append(text);
            log
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("0.log")
        }

        fn append(&self, text: &str) {
            let mut options = OpenOptions::new();
            let mut file = options.append(true).create(true).open(self.path()).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        }
    }

    fn new(reader: &mut LogReader) -> String {
        let mut lines = Vec::new();
        reader.copy(&mut lines, ALL).unwrap();
        String::from_utf8(lines).unwrap()
    }

    #[test]
    fn each_line_is_read_once_and_never_in_half() {
        let log = Log::new("one\ntwo\nthr");
        let (mut reader, left_out) = LogReader::open(&log.path(), ALL).unwrap();
        assert_eq!((new(&mut reader).as_str(), left_out), ("one\ntwo\n", 0));
        assert_eq!(new(&mut reader), "");
        log.append("ee\n");
        assert!(reader.has_news());
        assert_eq!(new(&mut reader), "three\n");
        assert!(!reader.has_news());
    }

    #[test]
    fn a_rotated_log_is_read_to_its_end_and_goes_on_in_the_next_file() {
        let log = Log::new("one\n");
        let (mut reader, _) = LogReader::open(&log.path(), ALL).unwrap();
        assert_eq!(new(&mut reader), "one\n");
        log.append("two\n");
        fs::rename(log.path(), log.0.path().join("0.log.20260101-000000")).unwrap();
        assert_eq!(new(&mut reader), "two\n");
        log.append("three\n");
        assert_eq!(new(&mut reader), "three\n");
        log.append("four\n");
        assert_eq!(new(&mut reader), "four\n");
    }

    #[test]
    fn what_is_written_to_the_old_file_while_the_new_one_is_there_comes_first() {
        let log = Log::new("one\n");
        let old = OpenOptions::new().append(true).open(log.path()).unwrap();
        let (mut reader, _) = LogReader::open(&log.path(), ALL).unwrap();
        fs::rename(log.path(), log.0.path().join("0.log.20260101-000000")).unwrap();
        log.append("three\n");
        (&old).write_all(b"two\n").unwrap();
        assert_eq!(new(&mut reader), "one\ntwo\nthree\n");
    }

    #[test]
    fn of_a_log_that_is_too_long_the_newest_whole_lines_are_read() {
        let log = Log::new("one\ntwo\nthree\n");
        for (newest, lines, left_out) in [(6, "three\n", 8), (7, "three\n", 8), (10, "two\nthree\n", 4)] {
            let (mut reader, out) = LogReader::open(&log.path(), newest).unwrap();
            assert_eq!((new(&mut reader).as_str(), out), (lines, left_out), "{newest}");
        }
    }

    #[test]
    fn a_log_that_was_emptied_is_read_from_its_start() {
        let log = Log::new("one\ntwo\n");
        let (mut reader, _) = LogReader::open(&log.path(), ALL).unwrap();
        new(&mut reader);
        fs::write(log.path(), "x\n").unwrap();
        assert_eq!(new(&mut reader), "x\n");
    }

    #[test]
    fn a_look_is_bounded() {
        let log = Log::new(&"a line of some bytes\n".repeat(PIECE / 8));
        let (mut reader, _) = LogReader::open(&log.path(), ALL).unwrap();
        let copied = reader.copy(&mut io::sink(), 1).unwrap();
        assert!(copied > 0 && copied <= PIECE as u64, "{copied}");
        assert!(reader.has_news());
    }

    #[test]
    fn a_log_that_is_not_there_is_an_error() {
        let log = Log::new("");
        fs::remove_file(log.path()).unwrap();
        assert!(LogReader::open(&log.path(), ALL).is_err());
    }
}
