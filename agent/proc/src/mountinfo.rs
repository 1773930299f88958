//! `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::bounded;
use crate::field::{number, unescape};

/// `fs.mount-max` is 100,000, and a line has some 150 bytes; a node has some thousand mounts.
const LIMIT: usize = 64 << 20;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its number, which `mnt_id` of a descriptor's fdinfo names.
    pub id: u64,
    /// Major and minor number of the mounted file system.
    pub device: (u32, u32),
    /// The directory of the file system that is mounted.
    pub root: PathBuf,
    /// Where it is mounted, in the view of the process whose file this is.
    pub point: PathBuf,
    /// The file system's type.
    pub kind: String,
    /// The file system's own options, octal escapes undone, its own escapes kept.
    pub options: Vec<u8>,
}

/// The mounts that the process whose procfs directory is given sees. Fails if its mountinfo cannot be read, or has more than 64 MiB.
pub fn read(process: &Path) -> io::Result<Vec<Mount>> {
    bounded::read(&process.join("mountinfo"), LIMIT).map(|bytes| parse(&bytes))
}

/// Parses a whole mountinfo, in its order. Lines that do not have its form are left out.
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|&byte| byte == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = number(fields.next()?, 10)?;
    let device = std::str::from_utf8(fields.nth(1)?).ok()?;
    let (major, minor) = device.split_once(':')?;
    let device = (major.parse().ok()?, minor.parse().ok()?);
    let root = path(fields.next()?);
    let point = path(fields.next()?);
    // Any number of optional fields, ended by a lone hyphen.
    fields.find(|field| field == b"-")?;
    let kind = std::str::from_utf8(fields.next()?).ok()?.to_owned();
    let options = unescape(fields.nth(1)?);
    Some(Mount {
        id,
        device,
        root,
        point,
        kind,
        options,
    })
}

fn path(field: &[u8]) -> PathBuf {
    OsString::from_vec(unescape(field)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_fields_are_skipped_and_escapes_undone() {
        let line = b"36 35 98:0 /mnt1 /mnt\\0402\\134x rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue\n";
        let mounts = parse(line);
        assert_eq!(
            mounts,
            [Mount {
                id: 36,
                device: (98, 0),
                root: "/mnt1".into(),
                point: "/mnt 2\\x".into(),
                kind: "ext3".into(),
                options: b"rw,errors=continue".to_vec(),
            }]
        );
    }

    #[test]
    fn lines_of_another_form_are_left_out() {
        assert_eq!(parse(b"\n1 2 3\n36 35 98:0 / / rw no hyphen\n"), []);
    }

    #[test]
    fn the_mounts_of_this_process_have_a_root() {
        assert!(
            read(Path::new("/proc/self"))
                .unwrap()
                .iter()
                .any(|mount| mount.point == Path::new("/"))
        );
    }
}
