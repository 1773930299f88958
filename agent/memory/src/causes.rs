//! Errors in words.

use std::error::Error;

/// An error and its causes in one line, joined by colons; a cause that only repeats what was said is left out.
pub fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error(transparent)]
    struct Middle(std::io::Error);

    #[derive(Debug, thiserror::Error)]
    #[error("cannot read: inner")]
    struct Repeats(#[source] std::io::Error);

    #[test]
    fn causes_are_told_once() {
        let inner = || std::io::Error::other("inner");
        assert_eq!(with_causes(&Outer(Middle(inner()))), "outer: inner");
        assert_eq!(with_causes(&Repeats(inner())), "cannot read: inner");
    }
}
