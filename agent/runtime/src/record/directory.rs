//! A record directory, opened step by step so that no link leads out of it, and read only if nobody but root could have written it.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, open, openat, renameat};
use nix::sys::stat::{FileStat, Mode, fchmod, fstat, fstatat, mkdirat};
use nix::unistd::{UnlinkatFlags, geteuid, unlinkat};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::layout::Layout;

/// No record file is larger; a larger one is refused unread.
const MAX_FILE: u64 = 1024 * 1024;

/// Why a record directory or a file in it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// A call on a file or directory failed.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried: "open", "write", …
        action: &'static str,
        /// The path on the node.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Errno,
    },
    /// Someone else than root owns the file or may write it, or it is not of the expected kind.
    #[error("{path} is not trusted: {why}; remove it", path = path.display())]
    Untrusted {
        /// The path on the node.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file is too large.
    #[error("{path} is larger than 1 MiB", path = path.display())]
    TooLarge {
        /// The path on the node.
        path: PathBuf,
    },
    /// The file is not the JSON expected.
    #[error("{path} is not what it should be", path = path.display())]
    Malformed {
        /// The path on the node.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The directory is not below the run directory.
    #[error("{path} is not below /run/godwit", path = path.display())]
    Outside {
        /// The path on the node.
        path: PathBuf,
    },
}

impl RecordError {
    /// The stable reason of this error.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Io { .. } => "RecordUnavailable",
            Self::Untrusted { .. } => "RecordUntrusted",
            Self::TooLarge { .. } => "RecordTooLarge",
            Self::Malformed { .. } => "RecordMalformed",
            Self::Outside { .. } => "RecordOutside",
        }
    }
}

/// An open, trusted directory below `/run/godwit`.
#[derive(Debug)]
pub struct RecordDir {
    fd: OwnedFd,
    path: PathBuf,
}

impl RecordDir {
    /// Opens `path`, which must lie in `layout`'s run directory (e.g. from [`Layout::record_dir`]); `None` if it does not exist.
    /// Every directory from the run directory down must be root's own, not writable by others, and no symbolic link.
    pub fn open(layout: &Layout, path: &Path) -> Result<Option<Self>, RecordError> {
        Self::walk(layout, path, false)
    }

    /// The same, but makes every missing directory from the run directory down (0700).
    pub fn create(layout: &Layout, path: &Path) -> Result<Self, RecordError> {
        Self::walk(layout, path, true)?.ok_or_else(|| RecordError::Io {
            action: "create",
            path: path.to_path_buf(),
            source: Errno::ENOENT,
        })
    }

    /// Opens a directory by its plain path, for a program that was handed it by its parent. Only the directory itself is checked.
    pub fn open_handed(path: &Path) -> Result<Self, RecordError> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_RDONLY;
        let fd = openat(AT_FDCWD, path, flags, Mode::empty()).map_err(|source| io("open", path, source))?;
        trusted_directory(&fd, path)?;
        Ok(Self {
            fd,
            path: path.to_path_buf(),
        })
    }

    fn walk(layout: &Layout, path: &Path, make: bool) -> Result<Option<Self>, RecordError> {
        let run = layout.run_dir();
        let outside = || RecordError::Outside {
            path: path.to_path_buf(),
        };
        let below = path.strip_prefix(&run).map_err(|_| outside())?;
        let (Some(parent), Some(name)) = (run.parent(), run.file_name()) else {
            return Err(outside());
        };
        let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
        let mut at = parent.to_path_buf();
        let mut fd = match open(parent, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) if !make => return Ok(None),
            Err(source) => return Err(io("open", parent, source)),
        };
        for step in std::iter::once(Component::Normal(name)).chain(below.components()) {
            let Component::Normal(step) = step else {
                return Err(outside());
            };
            at.push(step);
            if make {
                match mkdirat(&fd, step, Mode::S_IRWXU) {
                    Ok(()) | Err(Errno::EEXIST) => {}
                    Err(source) => return Err(io("create", &at, source)),
                }
            }
            fd = match openat(&fd, step, flags | OFlag::O_NOFOLLOW, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::ENOENT) if !make => return Ok(None),
                Err(Errno::ENOTDIR | Errno::ELOOP) => {
                    return Err(RecordError::Untrusted {
                        path: at,
                        why: "it is no directory",
                    });
                }
                Err(source) => return Err(io("open", &at, source)),
            };
            trusted_directory(&fd, &at)?;
        }
        Ok(Some(Self { fd, path: at }))
    }

    /// The directory's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory's descriptor.
    pub fn fd(&self) -> impl AsFd + '_ {
        self.fd.as_fd()
    }

    /// Whether there is a file of this name (of any kind).
    pub fn has(&self, name: &str) -> Result<bool, RecordError> {
        match fstatat(&self.fd, name, AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::ENOENT) => Ok(false),
            Err(source) => Err(io("look up", &self.path.join(name), source)),
        }
    }

    /// The bytes of a trusted file of at most 1 MiB; `None` if there is no such file.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, RecordError> {
        let path = self.path.join(name);
        let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
        let fd = match openat(&self.fd, name, flags, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::ENOENT) => return Ok(None),
            Err(Errno::ELOOP) => {
                return Err(RecordError::Untrusted {
                    path,
                    why: "it is a symbolic link",
                });
            }
            Err(source) => return Err(io("open", &path, source)),
        };
        let stat = fstat(&fd).map_err(|source| io("look up", &path, source))?;
        trusted(&stat, libc::S_IFREG, &path)?;
        let mut bytes = Vec::new();
        File::from(fd)
            .take(MAX_FILE + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| {
                io(
                    "read",
                    &path,
                    Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)),
                )
            })?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(RecordError::TooLarge { path });
        }
        Ok(Some(bytes))
    }

    /// A trusted file's text, invalid UTF-8 replaced, white space at both ends cut; `None` if there is no such file.
    pub fn read_text(&self, name: &str) -> Result<Option<String>, RecordError> {
        Ok(self
            .read(name)?
            .map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    /// What a trusted JSON file says; `None` if there is no such file.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, RecordError> {
        let Some(bytes) = self.read(name)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| RecordError::Malformed {
                path: self.path.join(name),
                source,
            })
    }

    /// Writes a file (0600) so that a reader sees all of it or none: under another name first, then renamed. An older file goes.
    /// Not fsynced: the run directory does not outlive the node.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RecordError> {
        let path = self.path.join(name);
        let temporary = format!(".{name}.{}", std::process::id());
        let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC | OFlag::O_CREAT | OFlag::O_TRUNC | OFlag::O_NOFOLLOW;
        let fd = openat(&self.fd, temporary.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR)
            .map_err(|source| io("create", &path, source))?;
        let written = fchmod(&fd, Mode::S_IRUSR | Mode::S_IWUSR)
            .and_then(|()| {
                File::from(fd)
                    .write_all(bytes)
                    .map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))
            })
            .and_then(|()| renameat(&self.fd, temporary.as_str(), &self.fd, name));
        written.map_err(|source| {
            // The half-written file is of no use to anybody; if it cannot go, the directory's removal takes it.
            let _ = unlinkat(&self.fd, temporary.as_str(), UnlinkatFlags::NoRemoveDir);
            io("write", &path, source)
        })
    }

    /// Writes a JSON file; see [`Self::write`].
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), RecordError> {
        let bytes = serde_json::to_vec(value).map_err(|source| RecordError::Malformed {
            path: self.path.join(name),
            source,
        })?;
        self.write(name, &bytes)
    }

    /// Makes an empty file: a mark.
    pub fn mark(&self, name: &str) -> Result<(), RecordError> {
        self.write(name, b"")
    }

    /// Removes a file; one that is not there is no error.
    pub fn remove(&self, name: &str) -> Result<(), RecordError> {
        match unlinkat(&self.fd, name, UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => Ok(()),
            Err(source) => Err(io("remove", &self.path.join(name), source)),
        }
    }

    /// The names of the files, hidden ones left out.
    pub fn names(&self) -> Result<Vec<String>, RecordError> {
        let failed = |source| io("list", &self.path, source);
        let mut directory =
            nix::dir::Dir::openat(&self.fd, ".", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
                .map_err(failed)?;
        let mut names = Vec::new();
        for entry in directory.iter() {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') {
                names.push(name);
            }
        }
        Ok(names)
    }
}

fn io(action: &'static str, path: &Path, source: Errno) -> RecordError {
    RecordError::Io {
        action,
        path: path.to_path_buf(),
        source,
    }
}

fn trusted_directory(fd: &OwnedFd, path: &Path) -> Result<(), RecordError> {
    let stat = fstat(fd).map_err(|source| io("look up", path, source))?;
    trusted(&stat, libc::S_IFDIR, path)
}

/// Ours means: root's, or of the user that this program runs as (the same on every node).
fn trusted(stat: &FileStat, kind: libc::mode_t, path: &Path) -> Result<(), RecordError> {
    let untrusted = |why| {
        Err(RecordError::Untrusted {
            path: path.to_path_buf(),
            why,
        })
    };
    if stat.st_mode & libc::S_IFMT != kind {
        return untrusted("it is of another kind than expected");
    }
    if stat.st_uid != 0 && stat.st_uid != geteuid().as_raw() {
        return untrusted("it does not belong to root");
    }
    if stat.st_mode & 0o022 != 0 {
        return untrusted("others may write it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::record::{Failed, GO, RECORD};

    fn node() -> (tempfile::TempDir, Layout) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("run")).unwrap();
        let layout = Layout::new(root.path());
        (root, layout)
    }

    #[test]
    fn what_is_written_can_be_read() {
        let (_root, layout) = node();
        let path = layout.record_dir("uid", "redis").unwrap();
        assert!(RecordDir::open(&layout, &path).unwrap().is_none());
        let made = RecordDir::create(&layout, &path).unwrap();
        let failed = Failed {
            reason: "Because".into(),
            message: "of that".into(),
        };
        made.write_json(RECORD, &failed).unwrap();
        made.mark(GO).unwrap();
        let opened = RecordDir::open(&layout, &path).unwrap().unwrap();
        assert_eq!(opened.read_json::<Failed>(RECORD).unwrap(), Some(failed));
        assert!(opened.has(GO).unwrap());
        let mut names = opened.names().unwrap();
        names.sort();
        assert_eq!(names, [GO, RECORD]);
        opened.remove(GO).unwrap();
        opened.remove(GO).unwrap();
        assert!(!opened.has(GO).unwrap());
        let permissions = std::fs::metadata(path.join(RECORD)).unwrap().permissions().mode();
        assert_eq!(permissions & 0o777, 0o600);
    }

    #[test]
    fn what_others_may_write_is_refused() {
        let (_root, layout) = node();
        let path = layout.record_dir("uid", "redis").unwrap();
        let made = RecordDir::create(&layout, &path).unwrap();
        made.write(RECORD, b"{}").unwrap();
        std::fs::set_permissions(path.join(RECORD), PermissionsExt::from_mode(0o620)).unwrap();
        assert_eq!(made.read(RECORD).unwrap_err().reason(), "RecordUntrusted");
        std::fs::set_permissions(layout.records_dir(), PermissionsExt::from_mode(0o777)).unwrap();
        assert_eq!(
            RecordDir::open(&layout, &path).unwrap_err().reason(),
            "RecordUntrusted"
        );
    }

    #[test]
    fn links_are_refused() {
        let (root, layout) = node();
        let path = layout.record_dir("uid", "redis").unwrap();
        let made = RecordDir::create(&layout, &path).unwrap();
        std::fs::write(root.path().join("elsewhere"), "{}").unwrap();
        symlink(root.path().join("elsewhere"), path.join(RECORD)).unwrap();
        assert_eq!(made.read(RECORD).unwrap_err().reason(), "RecordUntrusted");
        symlink(&path, layout.record_dir("uid", "link").unwrap()).unwrap();
        let linked = RecordDir::open(&layout, &layout.record_dir("uid", "link").unwrap());
        assert_eq!(linked.unwrap_err().reason(), "RecordUntrusted");
    }

    #[test]
    fn large_and_malformed_files_are_refused() {
        let (_root, layout) = node();
        let made = RecordDir::create(&layout, &layout.record_dir("uid", "redis").unwrap()).unwrap();
        made.write(RECORD, &vec![b' '; 1024 * 1024 + 1]).unwrap();
        assert_eq!(
            made.read_json::<Failed>(RECORD).unwrap_err().reason(),
            "RecordTooLarge"
        );
        made.write(RECORD, b"{").unwrap();
        assert_eq!(
            made.read_json::<Failed>(RECORD).unwrap_err().reason(),
            "RecordMalformed"
        );
    }

    #[test]
    fn paths_outside_are_refused() {
        let (root, layout) = node();
        let error = RecordDir::create(&layout, root.path()).unwrap_err();
        assert_eq!(error.reason(), "RecordOutside");
        let dotted = layout.records_dir().join("..").join("x");
        assert_eq!(
            RecordDir::create(&layout, &dotted).unwrap_err().reason(),
            "RecordOutside"
        );
    }
}
