//! What can be said of a file or directory of the node in a few bytes: two that have the same fingerprint have the same content.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use nix::{
    dir::Dir,
    errno::Errno,
    fcntl::{OFlag, OpenHow, ResolveFlag, openat, openat2, readlinkat},
    sys::{
        stat::{FileStat, Mode, SFlag, fstat},
        statfs::{self, FsType, fstatfs},
    },
};
use thiserror::Error;

/// Most files, directories and links below one path: it is read in whole on both nodes while the pod waits to be moved.
const MAX_ENTRIES: u64 = 20_000;
/// Most bytes in its files.
const MAX_BYTES: u64 = 1 << 30;
/// Deepest directory.
const MAX_DEPTH: usize = 64;
/// Read at once.
const BLOCK: usize = 256 << 10;

/// File systems whose files say what the kernel does just now, and not what somebody has written.
const OF_THE_KERNEL: [FsType; 9] = [
    statfs::PROC_SUPER_MAGIC,
    statfs::SYSFS_MAGIC,
    statfs::CGROUP_SUPER_MAGIC,
    statfs::CGROUP2_SUPER_MAGIC,
    statfs::DEBUGFS_MAGIC,
    statfs::TRACEFS_MAGIC,
    statfs::BPF_FS_MAGIC,
    statfs::SECURITYFS_MAGIC,
    statfs::NSFS_MAGIC,
];

/// The content of a path, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// BLAKE3 of names, kinds, modes, owners and contents; times and extended attributes do not count.
    pub(crate) digest: [u8; 32],
    /// Files, directories and links, the path itself included.
    pub(crate) entries: u64,
    /// Bytes in its files.
    pub(crate) bytes: u64,
}

/// Why there is none.
#[derive(Debug, Error)]
pub(crate) enum FingerprintError {
    /// Something could not be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// A socket, a pipe or a device.
    #[error("{} is a socket, a pipe or a device, which cannot be compared", .0.display())]
    Special(PathBuf),
    /// The kernel's own.
    #[error("{} lies on a file system of the kernel, which is never the same on two nodes", .0.display())]
    Kernel(PathBuf),
    /// It would take too long.
    #[error(
        "{} has more than {MAX_ENTRIES} files, {} MiB or {MAX_DEPTH} levels, too much to be compared",
        .0.display(),
        MAX_BYTES >> 20
    )]
    TooMuch(PathBuf),
}

/// The fingerprint of `path` (absolute) inside the root directory `root`: links on the way lead to where they lead for whoever has that root.
/// Links below it are compared as links.
pub(crate) fn of(root: &Path, path: &Path) -> Result<Fingerprint, FingerprintError> {
    let read = |source| FingerprintError::Read {
        path: path.to_owned(),
        source,
    };
    let root = File::open(root).map_err(read)?;
    let below = path.strip_prefix("/").unwrap_or(path);
    let below = if below.as_os_str().is_empty() {
        Path::new(".")
    } else {
        below
    };
    // Only looked at: to open a device can do things to the node.
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let found = openat2(&root, below, how).map_err(|error| read(error.into()))?;
    let mut walk = Walk {
        hasher: blake3::Hasher::new(),
        entries: 0,
        bytes: 0,
        block: vec![0; BLOCK],
    };
    walk.found(&found, path, 0)?;
    Ok(Fingerprint {
        digest: *walk.hasher.finalize().as_bytes(),
        entries: walk.entries,
        bytes: walk.bytes,
    })
}

struct Walk {
    hasher: blake3::Hasher,
    entries: u64,
    bytes: u64,
    block: Vec<u8>,
}

impl Walk {
    /// What was found there, opened with `O_PATH`.
    fn found(&mut self, found: &OwnedFd, path: &Path, depth: usize) -> Result<(), FingerprintError> {
        let read = |error: Errno| FingerprintError::Read {
            path: path.to_owned(),
            source: error.into(),
        };
        let of_the_kernel = fstatfs(found).map_err(read)?.filesystem_type();
        if OF_THE_KERNEL.contains(&of_the_kernel) {
            return Err(FingerprintError::Kernel(path.to_owned()));
        }
        let stat = fstat(found).map_err(read)?;
        self.head(&stat, path)?;
        let open = |flags| {
            let again = PathBuf::from(format!("/proc/self/fd/{}", found.as_raw_fd()));
            nix::fcntl::open(&again, OFlag::O_RDONLY | OFlag::O_CLOEXEC | flags, Mode::empty()).map_err(read)
        };
        match kind(&stat) {
            SFlag::S_IFREG => self.content(open(OFlag::empty())?, path),
            SFlag::S_IFDIR if depth < MAX_DEPTH => self.children(open(OFlag::O_DIRECTORY)?, path, depth),
            SFlag::S_IFDIR => Err(FingerprintError::TooMuch(path.to_owned())),
            SFlag::S_IFLNK => {
                // An empty name: of the descriptor itself.
                let target = readlinkat(found, "").map_err(read)?;
                self.text(target.as_bytes());
                Ok(())
            }
            _ => Err(FingerprintError::Special(path.to_owned())),
        }
    }

    /// Kind, mode and owner.
    fn head(&mut self, stat: &FileStat, path: &Path) -> Result<(), FingerprintError> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(FingerprintError::TooMuch(path.to_owned()));
        }
        for part in [stat.st_mode, stat.st_uid, stat.st_gid] {
            self.hasher.update(&part.to_le_bytes());
        }
        Ok(())
    }

    fn content(&mut self, file: OwnedFd, path: &Path) -> Result<(), FingerprintError> {
        let mut file = File::from(file);
        let mut length: u64 = 0;
        loop {
            let read = file
                .read(&mut self.block)
                .map_err(|source| FingerprintError::Read {
                    path: path.to_owned(),
                    source,
                })?;
            if read == 0 {
                break;
            }
            length += read as u64;
            if self.bytes + length > MAX_BYTES {
                return Err(FingerprintError::TooMuch(path.to_owned()));
            }
            self.hasher.update(&self.block[..read]);
        }
        self.bytes += length;
        // After the content, whose end it marks.
        self.hasher.update(&length.to_le_bytes());
        Ok(())
    }

    fn children(&mut self, directory: OwnedFd, path: &Path, depth: usize) -> Result<(), FingerprintError> {
        let read = |path: &Path, error: Errno| FingerprintError::Read {
            path: path.to_owned(),
            source: error.into(),
        };
        let mut directory = Dir::from_fd(directory).map_err(|error| read(path, error))?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let entry = entry.map_err(|error| read(path, error))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
            if names.len() as u64 > MAX_ENTRIES {
                return Err(FingerprintError::TooMuch(path.to_owned()));
            }
        }
        names.sort();
        self.hasher.update(&(names.len() as u64).to_le_bytes());
        for name in names {
            self.text(&name);
            let name = OsStr::from_bytes(&name);
            let path = path.join(name);
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let found = openat(&directory, name, flags, Mode::empty()).map_err(|error| read(&path, error))?;
            self.found(&found, &path, depth + 1)?;
        }
        Ok(())
    }

    /// With its length before it, so that no two lists of names read the same.
    fn text(&mut self, text: &[u8]) {
        self.hasher.update(&(text.len() as u64).to_le_bytes());
        self.hasher.update(text);
    }
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::{fs::PermissionsExt, net::UnixListener},
    };

    use super::*;

    /// `/conf` with a file, a directory and a link, in a root of its own.
    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let conf = root.path().join("conf");
        fs::create_dir_all(conf.join("sub")).unwrap();
        fs::write(conf.join("a"), "alpha").unwrap();
        fs::write(conf.join("sub/b"), "beta").unwrap();
        std::os::unix::fs::symlink("a", conf.join("link")).unwrap();
        root
    }

    fn print(root: &tempfile::TempDir) -> Fingerprint {
        of(root.path(), Path::new("/conf")).unwrap()
    }

    #[test]
    fn like_trees_have_like_fingerprints() {
        let (one, other) = (tree(), tree());
        assert_eq!(print(&one), print(&other));
        assert_eq!((print(&one).entries, print(&one).bytes), (5, 9));
    }

    #[test]
    fn whatever_differs_shows() {
        let same = print(&tree());
        let changes: [fn(&Path); 6] = [
            |conf| fs::write(conf.join("a"), "alphA").unwrap(),
            |conf| fs::rename(conf.join("a"), conf.join("c")).unwrap(),
            |conf| fs::set_permissions(conf.join("a"), Permissions::from_mode(0o600)).unwrap(),
            |conf| fs::create_dir(conf.join("sub/empty")).unwrap(),
            |conf| fs::remove_file(conf.join("sub/b")).unwrap(),
            |conf| {
                fs::remove_file(conf.join("link")).unwrap();
                std::os::unix::fs::symlink("sub", conf.join("link")).unwrap();
            },
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let root = tree();
            change(&root.path().join("conf"));
            assert_ne!(print(&root), same, "change {number}");
        }
    }

    #[test]
    fn links_on_the_way_lead_inside_the_root() {
        let root = tree();
        std::os::unix::fs::symlink("/conf", root.path().join("there")).unwrap();
        let by_link = of(root.path(), Path::new("/there")).unwrap();
        assert_eq!(by_link, print(&root));
        let file = of(root.path(), Path::new("/there/a")).unwrap();
        assert_eq!((file.entries, file.bytes), (1, 5));
    }

    #[test]
    fn what_cannot_be_compared_is_named() {
        let root = tree();
        let socket = root.path().join("conf/socket");
        let _listener = UnixListener::bind(&socket).unwrap();
        let error = of(root.path(), Path::new("/conf")).unwrap_err();
        assert!(
            matches!(&error, FingerprintError::Special(path) if path.ends_with("socket")),
            "{error}"
        );
        let error = of(Path::new("/"), Path::new("/proc")).unwrap_err();
        assert!(matches!(error, FingerprintError::Kernel(_)), "{error}");
        let error = of(root.path(), Path::new("/nothing")).unwrap_err();
        assert!(error.to_string().contains("/nothing"), "{error}");
    }

    #[test]
    fn what_would_take_too_long_is_not_begun() {
        let root = tree();
        let sparse = File::create(root.path().join("conf/big")).unwrap();
        sparse.set_len(MAX_BYTES + 1).unwrap();
        let error = of(root.path(), Path::new("/conf")).unwrap_err();
        assert!(matches!(error, FingerprintError::TooMuch(_)), "{error}");
    }
}
