//! What `statx` tells about one file.

use std::os::fd::AsFd;

use rustix::fs::{AtFlags, FileType, StatxAttributes, StatxFlags, Timespec};

/// A time stamp: seconds since the epoch and nanoseconds.
pub(crate) type Stamp = (i64, u32);

/// The metadata of one file.
#[derive(Debug, Clone)]
pub(crate) struct Meta {
    pub kind: FileType,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    /// Device and inode number: which file it is.
    pub id: (u64, u64),
    pub size: u64,
    /// Bytes allocated.
    pub allocated: u64,
    pub atime: Stamp,
    pub mtime: Stamp,
    pub ctime: Stamp,
    /// Device number, for device nodes.
    pub rdev: (u32, u32),
    /// Has the immutable or the append-only flag.
    pub flagged: bool,
    /// Something is mounted here (`STATX_ATTR_MOUNT_ROOT`, Linux 5.8).
    pub mounted_on: bool,
}

impl Meta {
    /// Of the file `name` in `dir`, never following it; of `dir` itself if `name` is empty.
    pub(crate) fn at(dir: impl AsFd, name: &[u8]) -> rustix::io::Result<Self> {
        let flags = if name.is_empty() {
            AtFlags::EMPTY_PATH
        } else {
            AtFlags::SYMLINK_NOFOLLOW
        } | AtFlags::NO_AUTOMOUNT;
        let s = rustix::fs::statx(dir, name, flags, StatxFlags::BASIC_STATS)?;
        Ok(Self {
            kind: FileType::from_raw_mode(u32::from(s.stx_mode)),
            mode: u32::from(s.stx_mode) & 0o7777,
            uid: s.stx_uid,
            gid: s.stx_gid,
            nlink: s.stx_nlink,
            id: (
                (u64::from(s.stx_dev_major) << 32) | u64::from(s.stx_dev_minor),
                s.stx_ino,
            ),
            size: s.stx_size,
            allocated: s.stx_blocks.saturating_mul(512),
            atime: (s.stx_atime.tv_sec, s.stx_atime.tv_nsec),
            mtime: (s.stx_mtime.tv_sec, s.stx_mtime.tv_nsec),
            ctime: (s.stx_ctime.tv_sec, s.stx_ctime.tv_nsec),
            rdev: (s.stx_rdev_major, s.stx_rdev_minor),
            flagged: s
                .stx_attributes
                .intersects(StatxAttributes::IMMUTABLE | StatxAttributes::APPEND),
            mounted_on: s.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
        })
    }

    pub(crate) fn is_dir(&self) -> bool {
        self.kind == FileType::Directory
    }

    pub(crate) fn is_file(&self) -> bool {
        self.kind == FileType::RegularFile
    }
}

/// The stamp as the kernel takes it.
pub(crate) fn timespec(stamp: Stamp) -> Timespec {
    Timespec {
        tv_sec: stamp.0,
        tv_nsec: i64::from(stamp.1),
    }
}
