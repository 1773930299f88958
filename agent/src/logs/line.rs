//! The lines of a log, and the mark by which the end of a stream is known.
//!
//! What a container writes goes through a pipe, the shim, another pipe and the memory of the container runtime before it is a line of the log; a
//! line that is not finished stays in that memory. When a container will never write again, its end can be made visible: a mark and a newline,
//! written into its pipe, come out behind everything else. The line that has the mark is the unfinished one, and is a
//! *partial* line (tag `P`) without it: whoever reads the log joins what comes after it to it.

/// Written into a stream to find its end (ASCII `EOT`, "end of transmission"). One byte: the runtime cuts long lines, and cannot cut this.
pub const END: u8 = 0x04;

/// One of the two streams of a container that are logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

impl Stream {
    /// Both, by their descriptors' order.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];

    /// Its place among both.
    pub fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }

    fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"stdout" => Some(Self::Stdout),
            b"stderr" => Some(Self::Stderr),
            _ => None,
        }
    }
}

struct Line<'a> {
    /// Time and stream with the blanks after them.
    head: &'a [u8],
    stream: Stream,
    is_partial: bool,
    content: &'a [u8],
}

/// A line without its newline; `None` if it has another form.
fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let (time, stream, tags, content) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    Some(Line {
        head: &line[..time.len() + stream.len() + 2],
        stream: Stream::named(stream)?,
        // Tags may be several, parted by colons; the first says this.
        is_partial: tags.first() == Some(&b'P'),
        content,
    })
}

/// How far the end of a stream has come out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Awaited,
    /// The mark was there, and what was written with it goes on in the next line.
    Begun,
    Over,
}

/// Whole lines of a log without the marks of the streams that are `marked`, and without what was written after a mark. The second value tells of which streams the end is
/// there.
pub fn without_ends(lines: &[u8], marked: [bool; 2]) -> (Vec<u8>, [bool; 2]) {
    let mut kept = Vec::with_capacity(lines.len());
    let mut progress = [Progress::Awaited; 2];
    for whole in lines.split_inclusive(|byte| *byte == b'\n') {
        let line = whole.strip_suffix(b"\n").unwrap_or(whole);
        let Some(line) = parse(line).filter(|line| marked[line.stream.index()]) else {
            kept.extend_from_slice(whole);
            continue;
        };
        let progress = &mut progress[line.stream.index()];
        let mark = line.content.iter().position(|byte| *byte == END);
        match (*progress, mark) {
            (Progress::Awaited, Some(at)) => {
                if at > 0 {
                    kept.extend_from_slice(line.head);
                    kept.extend_from_slice(b"P ");
                    kept.extend_from_slice(&line.content[..at]);
                    kept.push(b'\n');
                }
            }
            (Progress::Begun, _) => {}
            (Progress::Awaited, None) | (Progress::Over, _) => {
                kept.extend_from_slice(whole);
                continue;
            }
        }
        *progress = if line.is_partial {
            Progress::Begun
        } else {
            Progress::Over
        };
    }
    (kept, progress.map(|progress| progress == Progress::Over))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(lines: &str, marked: [bool; 2]) -> (String, [bool; 2]) {
        let (kept, seen) = without_ends(lines.as_bytes(), marked);
        (String::from_utf8(kept).unwrap(), seen)
    }

    #[test]
    fn an_unfinished_line_becomes_a_partial_one() {
        let lines = "T1 stdout F one\nT2 stdout F tw\x04\n";
        let expected = "T1 stdout F one\nT2 stdout P tw\n".to_owned();
        assert_eq!(cut(lines, [true, true]), (expected, [true, false]));
    }

    #[test]
    fn an_end_after_a_whole_line_leaves_nothing() {
        let lines = "T1 stderr F one\nT2 stderr F \x04moved to n2\nT3 stdout F \x04\n";
        let expected = "T1 stderr F one\n".to_owned();
        assert_eq!(cut(lines, [true, true]), (expected, [true, true]));
    }

    #[test]
    fn what_the_runtime_has_cut_at_its_longest_line_is_one_line_all_the_same() {
        let lines = "T stdout P long\nT stdout F \x04\nT stderr P rest\x04mov\nT stderr F ed\n";
        let expected = "T stdout P long\nT stderr P rest\n".to_owned();
        assert_eq!(cut(lines, [true, true]), (expected, [true, true]));
    }

    #[test]
    fn only_marked_streams_end_and_other_lines_are_left_alone() {
        let lines = "T stdout F a\x04\nno line at all\n\nT other F \x04\n";
        assert_eq!(cut(lines, [false, true]), (lines.to_owned(), [false, false]));
    }

    #[test]
    fn an_end_that_has_come_in_half_is_no_end() {
        let (kept, seen) = cut("T stderr P rest\x04mov\n", [true, true]);
        assert_eq!((kept.as_str(), seen), ("T stderr P rest\n", [false, false]));
    }
}
