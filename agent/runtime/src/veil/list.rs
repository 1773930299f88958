//! The list of a process's hidden pages: eight bytes of magic, then for each row of pages its address and the number of pages, both 64 bits, little-endian.

use std::path::Path;

use super::{PAGE, Span, VeilError};

const MAGIC: &[u8; 8] = b"GWTHIDE1";
/// A row of pages.
const ROW: usize = 16;

/// The list as it stands in a file.
pub(super) fn encode(spans: &[Span]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for span in spans {
        bytes.extend_from_slice(&span.start.to_le_bytes());
        bytes.extend_from_slice(&((span.end - span.start) / PAGE).to_le_bytes());
    }
    bytes
}

/// Reads the list: rows must be of whole pages, ascending and apart.
pub(super) fn decode(bytes: &[u8], path: &Path) -> Result<Vec<Span>, VeilError> {
    let bad = |why| VeilError::Malformed {
        path: path.to_path_buf(),
        why,
    };
    let rows = bytes
        .strip_prefix(MAGIC)
        .ok_or_else(|| bad("no list of hidden pages"))?;
    if rows.len() % ROW != 0 {
        return Err(bad("cut off"));
    }
    let mut spans: Vec<Span> = Vec::with_capacity(rows.len() / ROW);
    for row in rows.chunks_exact(ROW) {
        let number = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&row[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let (start, pages) = (number(0), number(8));
        let end = pages
            .checked_mul(PAGE)
            .and_then(|length| start.checked_add(length));
        let end = end
            .filter(|end| *end > start)
            .ok_or_else(|| bad("no pages in a row"))?;
        if start % PAGE != 0 || spans.last().is_some_and(|last| last.end > start) {
            return Err(bad("rows out of order"));
        }
        spans.push(Span { start, end });
    }
    Ok(spans)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let spans = [
            Span {
                start: 0x1000,
                end: 0x3000,
            },
            Span {
                start: 0x3000,
                end: 0x4000,
            },
        ];
        assert_eq!(decode(&encode(&spans), Path::new("x")).unwrap(), spans);
    }

    #[test]
    fn damage_is_an_error() {
        let span = |start, end| Span { start, end };
        let good = encode(&[span(0x1000, 0x3000), span(0x5000, 0x6000)]);
        let overlapping = encode(&[span(0x1000, 0x3000), span(0x2000, 0x6000)]);
        let empty = encode(&[span(0x1000, 0x1000)]);
        let beyond = [&MAGIC[..], &[0xf0; 16]].concat();
        for bytes in [&b""[..], &good[..good.len() - 1], &overlapping, &empty, &beyond] {
            let error = decode(bytes, Path::new("x")).unwrap_err();
            assert_eq!(error.reason(), "ImagesMalformed");
        }
    }
}
