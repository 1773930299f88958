//! Reading files of procfs, whose length the pod decides.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// Longest line: a path (4 KiB, up to four times as long where it is escaped) and the fields before it.
const LINE: u64 = 32 << 10;

/// At most `limit` bytes; the rest is left out.
pub(crate) fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Calls `each` for every line without its end, at most `limit` of them; those that are too long are passed over.
pub(crate) fn lines(path: &Path, limit: usize, mut each: impl FnMut(&[u8])) -> io::Result<()> {
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

/// Fields of a line, however many blanks are between them.
pub(crate) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|field| !field.is_empty())
}

/// A number in a field.
pub(crate) fn number(field: &[u8], radix: u32) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(field).ok()?, radix).ok()
}

/// Undoes the kernel's `\ooo` in paths (`seq_path`).
pub(crate) fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'\\')
            .then(|| after.get(..3).and_then(|digits| number(digits, 8)))
            .flatten()
            .and_then(|code| u8::try_from(code).ok());
        if let Some(code) = code {
            out.push(code);
            rest = &after[3..];
        } else {
            out.push(first);
            rest = after;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(read(file.path(), 5).unwrap(), b"one\nx");
    }

    #[test]
    fn escapes_are_undone() {
        assert_eq!(unescape(b"/a\\040b\\134"), b"/a b\\");
        assert_eq!(unescape(b"a\\9z\\04\\777"), b"a\\9z\\04\\777");
    }
}
