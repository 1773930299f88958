//! Reading files whose length nobody vouches for.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

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
}
