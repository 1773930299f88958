//! What overlayfs writes into an upper directory, and what of it is the container's own.
//!
//! Kernel documentation, `Documentation/filesystems/overlayfs.rst`: a whiteout is a character device 0/0, or an empty
//! file with the attribute `overlay.whiteout`; `overlay.opaque=y` hides what lower layers hold of a directory;
//! `overlay.redirect` says where the lower part of a renamed directory or file is; `overlay.metacopy` says that the
//! data is still below. Attributes `overlay.overlay.X` are a nested overlay's `overlay.X`, escaped.

use rustix::fs::FileType;

use crate::attributes::Xattr;
use crate::meta::Meta;

/// In which namespace an overlay mount keeps its marks: `user` if it is mounted with `userxattr`, else `trusted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marks {
    /// `trusted.overlay.*`
    Trusted,
    /// `user.overlay.*` (mount option `userxattr`)
    User,
}

impl Marks {
    fn prefix(self) -> &'static [u8] {
        match self {
            Self::Trusted => b"trusted.overlay.",
            Self::User => b"user.overlay.",
        }
    }
}

/// What the marks of one file say.
#[derive(Debug, Default, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "marks that the kernel sets independently of each other"
)]
pub(crate) struct Found {
    pub opaque: bool,
    pub redirect: Option<Vec<u8>>,
    pub metacopy: bool,
    pub whiteout: bool,
    /// The overlay keeps immutable/append-only flags of this file.
    pub flagged: bool,
}

/// Parts the overlay's own attributes from the container's.
pub(crate) fn part(marks: Marks, all: Vec<Xattr>) -> (Vec<Xattr>, Found) {
    let prefix = marks.prefix();
    let mut found = Found::default();
    let mut own = Vec::new();
    for mut attribute in all {
        let Some(mark) = attribute.name.strip_prefix(prefix) else {
            own.push(attribute);
            continue;
        };
        match mark {
            b"opaque" => found.opaque = attribute.value == b"y",
            b"redirect" => found.redirect = Some(attribute.value),
            b"metacopy" => found.metacopy = true,
            b"whiteout" => found.whiteout = true,
            b"protattr" => found.flagged = true,
            _ => {
                if let Some(nested) = mark.strip_prefix(b"overlay.") {
                    attribute.name = [prefix, nested].concat();
                    own.push(attribute);
                }
            }
        }
    }
    (own, found)
}

/// True for a whiteout in the form of a device.
pub(crate) fn is_whiteout(meta: &Meta) -> bool {
    meta.kind == FileType::CharacterDevice && meta.rdev == (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(name: &str, value: &str) -> Xattr {
        Xattr {
            name: name.into(),
            value: value.into(),
        }
    }

    #[test]
    fn own_marks_are_parted_and_nested_ones_unescaped() {
        let (own, found) = part(
            Marks::Trusted,
            vec![
                attribute("trusted.overlay.opaque", "y"),
                attribute("trusted.overlay.origin", "x"),
                attribute("trusted.overlay.overlay.opaque", "y"),
                attribute("user.overlay.opaque", "y"),
                attribute("user.a", "1"),
            ],
        );
        assert!(found.opaque);
        let names: Vec<_> = own
            .iter()
            .map(|a| String::from_utf8_lossy(&a.name).into_owned())
            .collect();
        assert_eq!(names, ["trusted.overlay.opaque", "user.overlay.opaque", "user.a"]);
    }

    #[test]
    fn a_user_mark_counts_only_where_the_mount_says_so() {
        let planted = || vec![attribute("user.overlay.opaque", "y")];
        assert_eq!(part(Marks::Trusted, planted()).1, Found::default());
        assert!(part(Marks::User, planted()).1.opaque);
        // "x" marks a directory that holds whiteouts in attribute form; it hides nothing.
        assert!(
            !part(Marks::Trusted, vec![attribute("trusted.overlay.opaque", "x")])
                .1
                .opaque
        );
    }
}
