//! An independent view of a tree, to be compared: it shares no code with the crate.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot set up its scene has failed"
)]
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, SeekFrom};

/// All that can be seen of one file but its number, access and change time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub mode: u32,
    pub owner: (u32, u32),
    pub mtime: (i64, i64),
    pub rdev: u64,
    pub size: u64,
    /// Start, end and hash of each piece of data.
    pub data: Vec<(u64, u64, String)>,
    pub link: Option<Vec<u8>>,
    pub xattrs: BTreeMap<String, Vec<u8>>,
    /// The first path of the same file.
    pub same_as: Option<Vec<u8>>,
}

pub type Tree = BTreeMap<Vec<u8>, Node>;

/// Takes a view of the tree at `root`, `skip`ping some paths.
pub fn take(root: &Path, skip: &[&str]) -> Tree {
    let mut tree = Tree::new();
    let mut first = BTreeMap::new();
    let fd: OwnedFd = File::open(root).unwrap().into();
    node(&mut tree, &mut first, &fd, b".", b"", skip);
    tree
}

fn node(
    tree: &mut Tree,
    first: &mut BTreeMap<(u64, u64), Vec<u8>>,
    dir: &OwnedFd,
    name: &[u8],
    path: &[u8],
    skip: &[&str],
) {
    if skip.iter().any(|s| s.as_bytes() == path) {
        return;
    }
    let through = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(osstr(name));
    let meta = std::fs::symlink_metadata(&through).unwrap();
    let kind = meta.mode() & libc::S_IFMT;
    let is_dir = kind == libc::S_IFDIR;
    let mut xattrs = BTreeMap::new();
    for attr in xattr::list(&through).into_iter().flatten() {
        let value = xattr::get(&through, &attr).unwrap().unwrap();
        xattrs.insert(attr.to_string_lossy().into_owned(), value);
    }
    let same_as = if !is_dir && meta.nlink() > 1 {
        let leader = first
            .entry((meta.dev(), meta.ino()))
            .or_insert_with(|| path.to_vec());
        Some(leader.clone())
    } else {
        None
    };
    tree.insert(
        path.to_vec(),
        Node {
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            mtime: (meta.mtime(), meta.mtime_nsec()),
            rdev: if matches!(kind, libc::S_IFCHR | libc::S_IFBLK) {
                meta.rdev()
            } else {
                0
            },
            size: if is_dir { 0 } else { meta.size() },
            data: if kind == libc::S_IFREG {
                data(&File::open(&through).unwrap(), meta.size())
            } else {
                Vec::new()
            },
            link: (kind == libc::S_IFLNK).then(|| {
                std::os::unix::ffi::OsStringExt::into_vec(
                    std::fs::read_link(&through).unwrap().into_os_string(),
                )
            }),
            xattrs,
            same_as,
        },
    );
    if is_dir {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let here = rustix::fs::openat(dir, name, flags, Mode::empty()).unwrap();
        let mut names: Vec<Vec<u8>> = rustix::fs::Dir::read_from(here.as_fd())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_bytes().to_vec())
            .filter(|name| name != b"." && name != b"..")
            .collect();
        names.sort_unstable();
        for child in names {
            let below = if path.is_empty() {
                child.clone()
            } else {
                [path, b"/", &child].concat()
            };
            node(tree, first, &here, &child, &below, skip);
        }
    }
}

fn data(file: &File, size: u64) -> Vec<(u64, u64, String)> {
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Ok(start) = rustix::fs::seek(file, SeekFrom::Data(at)) {
        let end = rustix::fs::seek(file, SeekFrom::Hole(start)).unwrap().min(size);
        let mut hash = blake3::Hasher::new();
        let mut buffer = vec![0; 1 << 20];
        let mut pos = start;
        while pos < end {
            let want = buffer.len().min(usize::try_from(end - pos).unwrap());
            file.read_exact_at(&mut buffer[..want], pos).unwrap();
            hash.update(&buffer[..want]);
            pos += want as u64;
        }
        pieces.push((start, end, hash.finalize().to_hex().to_string()));
        at = end;
    }
    pieces
}

/// Fails with the first few differences.
pub fn assert_same(expected: &Tree, found: &Tree) {
    let mut differences = Vec::new();
    for (path, node) in expected {
        match found.get(path) {
            None => differences.push(format!("missing: {}", show(path))),
            Some(other) if other != node => {
                differences.push(format!(
                    "differs: {}\n  expected {node:?}\n  found    {other:?}",
                    show(path)
                ));
            }
            Some(_) => {}
        }
    }
    differences.extend(
        found
            .keys()
            .filter(|p| !expected.contains_key(*p))
            .map(|p| format!("extra: {}", show(p))),
    );
    let all = differences.len();
    differences.truncate(8);
    assert!(all == 0, "{all} differences:\n{}", differences.join("\n"));
}

fn show(path: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(path))
}

pub fn osstr(bytes: &[u8]) -> &std::ffi::OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(bytes)
}

/// Sets the modification time of a path that may be a symbolic link.
pub fn set_mtime(path: &Path, sec: i64, nsec: i64) {
    let stamp = rustix::fs::Timespec {
        tv_sec: sec,
        tv_nsec: nsec,
    };
    let times = rustix::fs::Timestamps {
        last_access: stamp,
        last_modification: stamp,
    };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
