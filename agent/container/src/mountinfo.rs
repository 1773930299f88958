//! `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::bounded;

/// A node has some thousand mounts at most; each line is below 8 KiB.
const LIMIT: usize = 16 << 20;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Its number, which `mnt_id` of a descriptor's fdinfo names.
    pub id: u64,
    /// `major:minor` of the mounted file system.
    pub device: String,
    /// The directory of the file system that is mounted.
    pub root: PathBuf,
    /// Where it is mounted, in the view of the process whose file this is.
    pub point: PathBuf,
    /// The file system's type.
    pub kind: String,
    /// The file system's own options, octal escapes undone, its own escapes kept.
    pub options: Vec<u8>,
}

/// Reads and parses the mountinfo of the process whose procfs directory is given.
pub fn read(process: &Path) -> io::Result<Vec<Mount>> {
    bounded::read(&process.join("mountinfo"), LIMIT).map(|bytes| parse(&bytes))
}

/// Parses a whole mountinfo, in its order. Lines that do not have its form are left out.
pub fn parse(text: &[u8]) -> Vec<Mount> {
    text.split(|&byte| byte == b'\n').filter_map(parse_line).collect()
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = text(fields.nth(1)?)?;
    let root = path(fields.next()?);
    let point = path(fields.next()?);
    // Any number of optional fields, ended by a lone hyphen.
    fields.find(|field| field == b"-")?;
    let kind = text(fields.next()?)?;
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

fn text(field: &[u8]) -> Option<String> {
    std::str::from_utf8(field).ok().map(str::to_owned)
}

fn path(field: &[u8]) -> PathBuf {
    OsString::from_vec(unescape(field)).into()
}

/// Undoes the kernel's `\ooo`: space, tab, line feed, backslash and `#` are written so.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        if first == b'\\'
            && let Some(digits) = after.get(..3)
            && let Some(byte) = octal(digits)
        {
            out.push(byte);
            rest = &after[3..];
        } else {
            out.push(first);
            rest = after;
        }
    }
    out
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
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
                device: "98:0".into(),
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
    fn a_backslash_that_begins_no_octal_number_stays() {
        assert_eq!(unescape(b"a\\9z\\04"), b"a\\9z\\04");
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
