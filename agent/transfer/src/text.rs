//! What names may look like.

use crate::limits::MAX_OBJECT_NAME;

/// True for a file name that can be used inside a directory of ours: no separator, no dot in front, plain ASCII.
/// CRIU's image names fit (`pages-1.img`, `tmpfs-dev-77.tar.gz.img`).
pub(crate) fn is_object_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MAX_OBJECT_NAME
        && !name.starts_with('.')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

/// True for a DNS label (RFC 1123), as names of containers are.
pub(crate) fn is_label(name: &str) -> bool {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    name.len() <= 63
        && edge(name.bytes().next())
        && edge(name.bytes().last())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// True for a DNS subdomain (RFC 1123), as names of nodes are.
pub(crate) fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

/// True for the UID of a Kubernetes object.
pub(crate) fn is_uid(uid: &str) -> bool {
    !uid.is_empty()
        && uid.len() <= 64
        && uid
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// True for a reason or the name of a step: `PascalCase`, short.
pub(crate) fn is_reason(reason: &str) -> bool {
    reason.len() <= 64
        && reason.starts_with(|first: char| first.is_ascii_uppercase())
        && reason.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The text, cut to `max` bytes at a character.
pub(crate) fn clip(text: &str, max: usize) -> String {
    text[..text.floor_char_boundary(max)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_names_stay_in_their_directory() {
        for good in [
            "pages-1.img",
            "descriptors.json",
            "tmpfs-dev-77.tar.gz.img",
            "A_b-3",
        ] {
            assert!(is_object_name(good), "{good}");
        }
        let long = "a".repeat(MAX_OBJECT_NAME + 1);
        for bad in [
            "", ".", "..", "../x", "a/b", "/a", ".hidden", "a\0", "a b", "ä", "a\\b", &long,
        ] {
            assert!(!is_object_name(bad), "{bad}");
        }
    }

    #[test]
    fn names_of_kubernetes() {
        assert!(is_label("redis") && is_label("a") && is_label("a-1"));
        assert!(!is_label("") && !is_label("-a") && !is_label("a-") && !is_label("A") && !is_label("a.b"));
        assert!(is_subdomain("ip-10-0-0-1.ec2.internal"));
        assert!(!is_subdomain("a..b") && !is_subdomain("") && !is_subdomain("a/b"));
    }

    #[test]
    fn clips_at_a_character() {
        assert_eq!(clip("aäb", 2), "a");
        assert_eq!(clip("aäb", 3), "aä");
        assert_eq!(clip("ab", 9), "ab");
    }
}
