//! `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::bounded::{self, number, unescape};

/// `fs.mount-max` is 100,000.
const LIMIT: usize = 100_000;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// As in `mnt_id` of fdinfo.
    pub(crate) id: u64,
    /// Major and minor number of the file system.
    pub(crate) device: (u32, u32),
    /// What of the file system is mounted.
    pub(crate) root: PathBuf,
    /// Where, in the process's view.
    pub(crate) point: PathBuf,
    /// The file system's type.
    pub(crate) kind: String,
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b' ');
        let id = number(fields.next()?, 10)?;
        let device = std::str::from_utf8(fields.nth(1)?).ok()?;
        let (major, minor) = device.split_once(':')?;
        let path = |field| PathBuf::from(OsString::from_vec(unescape(field)));
        let root = path(fields.next()?);
        let point = path(fields.next()?);
        // Any number of optional fields, ended by a lone hyphen.
        fields.find(|field| field == b"-")?;
        Some(Self {
            id,
            device: (major.parse().ok()?, minor.parse().ok()?),
            root,
            point,
            kind: String::from_utf8_lossy(fields.next()?).into_owned(),
        })
    }
}

/// The mounts that the process sees.
pub(crate) fn all(process: &Path) -> Vec<Mount> {
    let mut all = Vec::new();
    let _ = bounded::lines(&process.join("mountinfo"), LIMIT, |line| {
        all.extend(Mount::parse(line));
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_form_is_understood() {
        let text = "30 1 0:29 / / rw,relatime - overlay overlay rw,lowerdir=/l\n\
            31 30 254:0 /pods/a\\040b /vol rw shared:7 master:1 - ext4 /dev/vda rw\n\
            32 30 0:31 / /vol/sub rw - tmpfs tmpfs rw\n\
            33 30 0:32 / /vol/sub rw - tmpfs tmpfs rw\nnonsense\n";
        let mounts: Vec<Mount> = text
            .lines()
            .filter_map(|line| Mount::parse(line.as_bytes()))
            .collect();
        assert_eq!(mounts.len(), 4);
        assert_eq!(mounts[1].root, Path::new("/pods/a b"));
        assert_eq!((mounts[1].device, mounts[1].kind.as_str()), ((254, 0), "ext4"));
        let ids: Vec<u64> = mounts.iter().map(|mount| mount.id).collect();
        assert_eq!(ids, [30, 31, 32, 33]);
    }
}
