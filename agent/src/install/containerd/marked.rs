//! The marked block: what Godwit adds to a file that others write too, and how it comes out again.

/// First line of the block.
pub const BEGIN: &str =
    "# BEGIN godwit: added by Godwit's agent; `godwit-agent uninstall` takes it out again";
/// Last line of the block.
pub const END: &str = "# END godwit";

/// The block with its markers; ends in a newline.
pub fn block(body: &str) -> String {
    format!("{BEGIN}\n{}\n{END}\n", body.trim())
}

/// The text with the block appended; a missing newline at its end is added first.
pub fn append(text: &str, block: &str) -> String {
    let newline = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{text}{newline}{block}")
}

/// True when the text has a complete block.
pub fn is_marked(text: &str) -> bool {
    span(text).is_some()
}

/// The text without its blocks; the same text when there is none.
pub fn cut(text: &str) -> String {
    let mut rest = text.to_owned();
    while let Some((start, end)) = span(&rest) {
        rest.replace_range(start..end, "");
    }
    rest
}

/// True when the text is a block and nothing else: the file is Godwit's own.
pub fn is_only_marked(text: &str) -> bool {
    is_marked(text)
        && cut(text)
            .lines()
            .all(|line| line.trim().is_empty() || line.trim().starts_with("version"))
}

fn span(text: &str) -> Option<(usize, usize)> {
    let start = line_start(text, 0, BEGIN)?;
    let end = line_start(text, start, END)?;
    let after = text[end..]
        .find('\n')
        .map_or(text.len(), |newline| end + newline + 1);
    Some((start, after))
}

/// Offset of the first line at or after `from` that is `line`.
fn line_start(text: &str, from: usize, line: &str) -> Option<usize> {
    let mut offset = from;
    for candidate in text[from..].split_inclusive('\n') {
        if candidate.trim_end() == line {
            return Some(offset);
        }
        offset += candidate.len();
    }
    None
}
