//! The entries of the stream.

use rustix::fs::FileType;

use crate::attributes::Xattr;
use crate::error::{Error, Result, shown};
use crate::limit;
use crate::meta::Meta;

/// First record: which pass this is.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Header {
    /// Empty for a base pass; else the closing hash of the pass before.
    #[prost(bytes = "vec", tag = "1")]
    pub base: Vec<u8>,
}

/// Last record.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct End {
    /// Entries written.
    #[prost(uint64, tag = "1")]
    pub entries: u64,
    /// Bytes of data written.
    #[prost(uint64, tag = "2")]
    pub bytes: u64,
}

/// What an entry makes of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Kind {
    Unknown = 0,
    Directory = 1,
    /// Data records and a file end follow.
    File = 2,
    Symlink = 3,
    Fifo = 4,
    Socket = 5,
    CharDevice = 6,
    BlockDevice = 7,
    /// Another name for the path in `link`.
    HardLink = 8,
    /// Nothing is at this path.
    Delete = 9,
}

/// One path and what is there.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Entry {
    #[prost(bytes = "vec", tag = "1")]
    pub path: Vec<u8>,
    #[prost(enumeration = "Kind", tag = "2")]
    pub kind: i32,
    #[prost(uint32, tag = "3")]
    pub mode: u32,
    #[prost(uint32, tag = "4")]
    pub uid: u32,
    #[prost(uint32, tag = "5")]
    pub gid: u32,
    #[prost(sint64, tag = "6")]
    pub mtime: i64,
    #[prost(uint32, tag = "7")]
    pub mtime_ns: u32,
    #[prost(sint64, tag = "8")]
    pub atime: i64,
    #[prost(uint32, tag = "9")]
    pub atime_ns: u32,
    #[prost(message, repeated, tag = "10")]
    pub xattrs: Vec<WireXattr>,
    #[prost(uint64, tag = "11")]
    pub size: u64,
    /// Bytes allocated at the source: what the target needs.
    #[prost(uint64, tag = "12")]
    pub allocated: u64,
    /// Target of a symbolic link, or the path that a hard link names.
    #[prost(bytes = "vec", tag = "13")]
    pub link: Vec<u8>,
    #[prost(uint32, tag = "14")]
    pub major: u32,
    #[prost(uint32, tag = "15")]
    pub minor: u32,
    /// For a directory: empty it first, for it hides what lower layers hold.
    #[prost(bool, tag = "16")]
    pub replace: bool,
    /// For a file: it is there already and stays the same file, with what the records after this change in it.
    #[prost(bool, tag = "17")]
    pub keep: bool,
}

/// An extended attribute.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct WireXattr {
    #[prost(bytes = "vec", tag = "1")]
    pub name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

impl Entry {
    /// An entry without metadata.
    pub(crate) fn bare(kind: Kind, path: &[u8], link: &[u8]) -> Self {
        Self {
            path: path.to_vec(),
            kind: kind.into(),
            link: link.to_vec(),
            ..Self::default()
        }
    }

    /// An entry for what `meta` describes.
    pub(crate) fn of(path: &[u8], meta: &Meta, xattrs: Vec<Xattr>) -> Self {
        let kind = match meta.kind {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Symlink,
            FileType::Fifo => Kind::Fifo,
            FileType::Socket => Kind::Socket,
            FileType::CharacterDevice => Kind::CharDevice,
            FileType::BlockDevice => Kind::BlockDevice,
            FileType::Unknown => Kind::Unknown,
        };
        let regular = kind == Kind::File;
        Self {
            path: path.to_vec(),
            kind: kind.into(),
            mode: meta.mode,
            uid: meta.uid,
            gid: meta.gid,
            mtime: meta.mtime.0,
            mtime_ns: meta.mtime.1,
            atime: meta.atime.0,
            atime_ns: meta.atime.1,
            xattrs: xattrs
                .into_iter()
                .map(|x| WireXattr {
                    name: x.name,
                    value: x.value,
                })
                .collect(),
            size: if regular { meta.size } else { 0 },
            allocated: if regular { meta.allocated } else { 0 },
            link: Vec::new(),
            major: meta.rdev.0,
            minor: meta.rdev.1,
            replace: false,
            keep: false,
        }
    }

    /// The attributes.
    pub(crate) fn take_xattrs(&mut self) -> Vec<Xattr> {
        std::mem::take(&mut self.xattrs)
            .into_iter()
            .map(|x| Xattr {
                name: x.name,
                value: x.value,
            })
            .collect()
    }

    /// Checks all that the types do not: paths, names, numbers.
    ///
    /// Errors: [`Error::Path`] and [`Error::Corrupt`].
    pub(crate) fn check(&self) -> Result<()> {
        let kind = self.kind();
        let root = self.path.is_empty() && kind == Kind::Directory && !self.replace;
        if !root && !is_plain(&self.path) {
            return Err(Error::Path(shown(&self.path)));
        }
        let link_is_right = match kind {
            Kind::Unknown => return Err(Error::Corrupt("unknown kind of entry")),
            Kind::HardLink if !is_plain(&self.link) => return Err(Error::Path(shown(&self.link))),
            Kind::HardLink => self.link != self.path,
            Kind::Symlink => (1..=limit::LINK).contains(&self.link.len()) && !self.link.contains(&0),
            _ => self.link.is_empty(),
        };
        if !link_is_right {
            return Err(Error::Corrupt("illegal link"));
        }
        if self.keep && kind != Kind::File {
            return Err(Error::Corrupt("only a file can be kept"));
        }
        if self.mode > 0o7777 || self.mtime_ns >= 1_000_000_000 || self.atime_ns >= 1_000_000_000 {
            return Err(Error::Corrupt("metadata out of range"));
        }
        // chown takes the last number for "leave as it is".
        if self.uid == u32::MAX || self.gid == u32::MAX || i64::try_from(self.size).is_err() {
            return Err(Error::Corrupt("metadata out of range"));
        }
        let total: usize = self.xattrs.iter().map(|x| x.name.len() + x.value.len()).sum();
        let legal = |x: &WireXattr| !x.name.is_empty() && x.name.len() <= 255 && !x.name.contains(&0);
        if self.xattrs.len() > limit::XATTRS || total > limit::XATTR_BYTES || !self.xattrs.iter().all(legal) {
            return Err(Error::Corrupt("extended attributes out of bounds"));
        }
        Ok(())
    }
}

/// True for a relative path of plain names.
fn is_plain(path: &[u8]) -> bool {
    let plain = |name: &[u8]| {
        !name.is_empty() && name.len() <= limit::NAME && name != b"." && name != b".." && !name.contains(&0)
    };
    path.len() <= limit::PATH && path.split(|&b| b == b'/').all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_pass() {
        let long = [b'x'; 256];
        for bad in [
            b"".as_slice(),
            b"/a",
            b"a/",
            b"a//b",
            b"..",
            b"a/../b",
            b".",
            b"a/.",
            b"a\0b",
            &long,
        ] {
            assert!(
                Entry::bare(Kind::File, bad, b"").check().is_err(),
                "{}",
                shown(bad)
            );
            assert!(
                Entry::bare(Kind::HardLink, b"a", bad).check().is_err(),
                "{}",
                shown(bad)
            );
        }
        assert!(Entry::bare(Kind::File, b"a/..b/c...", b"").check().is_ok());
        assert!(Entry::bare(Kind::File, &long[..255], b"").check().is_ok());
    }

    #[test]
    fn the_root_can_only_be_a_directory_that_stays() {
        assert!(Entry::bare(Kind::Directory, b"", b"").check().is_ok());
        assert!(
            Entry {
                replace: true,
                ..Entry::bare(Kind::Directory, b"", b"")
            }
            .check()
            .is_err()
        );
        assert!(Entry::bare(Kind::Delete, b"", b"").check().is_err());
    }

    #[test]
    fn numbers_are_bounded() {
        let ok = Entry::bare(Kind::File, b"a", b"");
        for bad in [
            Entry {
                mode: 0o10_000,
                ..ok.clone()
            },
            Entry {
                mtime_ns: 1_000_000_000,
                ..ok.clone()
            },
            Entry {
                uid: u32::MAX,
                ..ok.clone()
            },
            Entry {
                size: u64::MAX,
                ..ok.clone()
            },
            Entry {
                kind: 77,
                ..ok.clone()
            },
            Entry {
                link: b"x".to_vec(),
                ..ok.clone()
            },
            Entry::bare(Kind::HardLink, b"a", b"a"),
            Entry::bare(Kind::Symlink, b"a", b""),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
