//! Reading files whose length nobody vouches for.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Longest line: a path (4 KiB, up to four times as long where it is escaped) and the fields before it.
const LINE: u64 = 32 << 10;

/// Reads the whole file at `path`, refusing (as [`io::ErrorKind::FileTooLarge`]) one of more than `limit` bytes.
pub fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("more than {limit} bytes"),
        ));
    }
    Ok(bytes)
}

/// [`read`] for text: bytes that are not UTF-8 are replaced, since the files of procfs may hold anything.
pub fn read_text(path: &Path, limit: usize) -> io::Result<String> {
    read(path, limit).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads at most the last `limit` bytes of a file, as text. The first line may be cut.
pub fn read_tail(path: &Path, limit: usize) -> io::Result<String> {
    let mut file = File::open(path)?;
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads at most the first `limit` bytes of a file; the rest is left out.
pub fn read_start(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Calls `each` for every line without its end, at most `limit` of them; those that are too long are passed over.
pub fn lines(path: &Path, limit: usize, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    let mut cut = false;
    for _ in 0..limit {
        line.clear();
        if reader.by_ref().take(LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let whole = line.last() == Some(&b'\n');
        if !cut && whole {
            line.pop();
            each(&line);
        }
        cut = !whole;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_exactly_the_limit_is_read_and_one_byte_more_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [7; 10]).unwrap();
        assert_eq!(read(file.path(), 10).unwrap(), [7; 10]);
        assert_eq!(
            read(file.path(), 9).unwrap_err().kind(),
            io::ErrorKind::FileTooLarge
        );
    }

    #[test]
    fn the_tail_is_the_end_of_the_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one\ntwo\nthree\n").unwrap();
        assert_eq!(read_tail(file.path(), 6).unwrap(), "three\n");
        assert_eq!(read_tail(file.path(), 600).unwrap(), "one\ntwo\nthree\n");
    }

    #[test]
    fn long_lines_and_many_lines_are_cut() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let long = "x".repeat(100_000);
        std::fs::write(
            file.path(),
            format!("one\n{long}\ntwo\nthree\nrest without an end"),
        )
        .unwrap();
        let mut seen = Vec::new();
        lines(file.path(), 100, |line| {
            seen.push(String::from_utf8(line.to_vec()).unwrap());
        })
        .unwrap();
        assert_eq!(seen, ["one", "two", "three"]);
        let mut count = 0;
        lines(file.path(), 1, |_| count += 1).unwrap();
        assert_eq!(count, 1);
        assert_eq!(read_start(file.path(), 5).unwrap(), b"one\nx");
    }
}
