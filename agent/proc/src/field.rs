//! What lines of procfs are made of.

/// Fields of a line, however many blanks are between them.
pub fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|field| !field.is_empty())
}

/// A number in a field; `None` if it is none, or has anything beside it.
pub fn number(field: &[u8], radix: u32) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(field).ok()?, radix).ok()
}

/// Undoes the kernel's `\ooo` in paths (`seq_path`): space, tab, line feed, backslash and `#` are written so.
pub fn unescape(field: &[u8]) -> Vec<u8> {
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
    fn escapes_are_undone() {
        assert_eq!(unescape(b"/a\\040b\\134"), b"/a b\\");
        assert_eq!(unescape(b"a\\9z\\04\\777"), b"a\\9z\\04\\777");
    }

    #[test]
    fn fields_are_between_any_blanks_and_numbers_are_nothing_else() {
        let found: Vec<&[u8]> = fields(b"  a\t b ").collect();
        assert_eq!(found, [b"a", b"b"]);
        assert_eq!(
            (number(b"1f", 16), number(b"1f", 10), number(b"", 10)),
            (Some(31), None, None)
        );
    }
}
