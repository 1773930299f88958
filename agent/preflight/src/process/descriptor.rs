//! Descriptors: `/proc/PID/fd` and `/proc/PID/fdinfo` (`proc_pid_fd(5)`, `proc_pid_fdinfo(5)`).

use std::ffi::CString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, StatxFlags, statx};

use godwit_proc::bounded;

/// `fs.nr_open` is far above; a process with more than this many is looked at in part.
const LIMIT: usize = 100_000;
/// What an inotify group with a hundred thousand watches says of itself is cut.
const INFO_LIMIT: usize = 20_000;

/// What something is, asked without disturbing the file system it lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) file_type: FileType,
    /// Of a device node: which.
    pub(crate) device: (u32, u32),
    /// The file system, as mountinfo has it.
    pub(crate) file_system: (u32, u32),
    pub(crate) inode: u64,
    pub(crate) links: u32,
    pub(crate) size: u64,
    /// Bytes on disk.
    pub(crate) stored: u64,
}

impl Kind {
    /// Follows the kernel's link. None: it is gone.
    pub(crate) fn of(link: &Path) -> Option<Self> {
        // Not to be synced: a network file system that does not answer would hold the look.
        let wanted =
            StatxFlags::TYPE | StatxFlags::INO | StatxFlags::NLINK | StatxFlags::SIZE | StatxFlags::BLOCKS;
        let found = statx(rustix::fs::CWD, link, AtFlags::STATX_DONT_SYNC, wanted).ok()?;
        Some(Self {
            file_type: FileType::from_raw_mode(found.stx_mode.into()),
            device: (found.stx_rdev_major, found.stx_rdev_minor),
            file_system: (found.stx_dev_major, found.stx_dev_minor),
            inode: found.stx_ino,
            links: found.stx_nlink,
            size: found.stx_size,
            stored: found.stx_blocks.saturating_mul(512),
        })
    }
}

/// One descriptor.
#[derive(Debug, Clone)]
pub(crate) struct Descriptor {
    pub(crate) number: u32,
    /// Where its link in procfs leads: a path in the process's view, or `kind:[number]`.
    pub(crate) target: Vec<u8>,
    pub(crate) kind: Kind,
}

impl Descriptor {
    /// Its link.
    pub(crate) fn link(&self, process: &Path) -> PathBuf {
        process.join("fd").join(self.number.to_string())
    }

    /// Lines of its fdinfo.
    pub(crate) fn info(&self, process: &Path) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let path = process.join("fdinfo").join(self.number.to_string());
        let _ = bounded::lines(&path, INFO_LIMIT, |line| all.push(line.to_vec()));
        all
    }

    /// The inode number, if it is a socket.
    pub(crate) fn socket(&self) -> Option<u64> {
        (self.kind.file_type == FileType::Socket).then_some(self.kind.inode)
    }

    /// The name of the socket's protocol in the kernel, as `/proc/net/protocols` lists them: procfs leads to the socket's own attribute
    /// (`sockfs_xattr_get`, `net/socket.c`).
    pub(crate) fn protocol(&self, process: &Path) -> Option<String> {
        let link = CString::new(self.link(process).as_os_str().as_bytes()).ok()?;
        let mut name = [0_u8; 64];
        let length = rustix::fs::getxattr(link.as_c_str(), "system.sockprotoname", &mut name[..]).ok()?;
        let name = String::from_utf8_lossy(name.get(..length)?);
        Some(name.trim_end_matches('\0').to_owned())
    }
}

/// Every descriptor of the process.
pub(crate) fn all(process: &Path) -> Vec<Descriptor> {
    let entries = std::fs::read_dir(process.join("fd")).into_iter().flatten();
    let mut all: Vec<Descriptor> = entries
        .take(LIMIT)
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let number = entry.file_name().to_str()?.parse().ok()?;
            let link = entry.path();
            let target = std::fs::read_link(&link).ok()?.into_os_string().into_vec();
            let kind = Kind::of(&link)?;
            Some(Descriptor { number, target, kind })
        })
        .collect();
    all.sort_by_key(|it| it.number);
    all
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_socket_tells_its_protocol() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let process = Path::new("/proc/self");
        let found = all(process);
        let number = u32::try_from(listener.as_raw_fd()).unwrap();
        let found = found.iter().find(|it| it.number == number).unwrap();
        assert!(found.socket().is_some());
        assert_eq!(found.protocol(process).as_deref(), Some("TCP"));
        assert!(found.info(process).iter().any(|line| line.starts_with(b"flags:")));
    }

    #[test]
    fn a_process_that_is_gone_has_none() {
        assert!(all(Path::new("/proc/4294967295")).is_empty());
    }
}
