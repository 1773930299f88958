//! `/proc/PID/maps` (`proc_pid_maps(5)`).

use std::path::{Path, PathBuf};

use godwit_proc::bounded;
use godwit_proc::field::{fields, number, unescape};

/// `vm.max_map_count` is 65,530 by default.
const LIMIT: usize = 300_000;

/// A mapping of something that has a name: anonymous ones are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Where in the file it begins.
    pub(crate) offset: u64,
    /// The file's device, as `maps` has it: major and minor.
    pub(crate) device: (u32, u32),
    /// The file's inode number; 0: no file.
    pub(crate) inode: u64,
    /// A path in the process's view, or a name in brackets.
    pub(crate) name: Vec<u8>,
}

impl Mapping {
    /// The link that leads to the mapped file.
    pub(crate) fn link(&self, process: &Path) -> PathBuf {
        process.join(format!("map_files/{:x}-{:x}", self.start, self.end))
    }

    fn parse(line: &[u8]) -> Option<Self> {
        // start-end perms offset major:minor inode   name
        let mut rest = line.splitn(6, |&byte| byte == b' ');
        let (start, end) = pair(rest.next()?, b'-')?;
        let _permissions = rest.next()?;
        let offset = number(rest.next()?, 16)?;
        let (major, minor) = pair(rest.next()?, b':')?;
        let inode = number(fields(rest.next()?).next()?, 10)?;
        let name = rest.next()?.trim_ascii_start();
        (!name.is_empty()).then(|| Self {
            start,
            end,
            offset,
            device: (
                u32::try_from(major).unwrap_or(u32::MAX),
                u32::try_from(minor).unwrap_or(u32::MAX),
            ),
            inode,
            name: unescape(name),
        })
    }
}

/// Two hexadecimal numbers.
fn pair(field: &[u8], between: u8) -> Option<(u64, u64)> {
    let at = field.iter().position(|&byte| byte == between)?;
    Some((number(&field[..at], 16)?, number(&field[at + 1..], 16)?))
}

/// Every mapping with a name.
pub(crate) fn all(process: &Path) -> Vec<Mapping> {
    let mut all = Vec::new();
    // A process that ends meanwhile has the mappings that were read.
    let _ = bounded::lines(&process.join("maps"), LIMIT, |line| {
        all.extend(Mapping::parse(line));
    });
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mappings_with_a_name_count() {
        let parse = |line: &str| Mapping::parse(line.as_bytes());
        let found = parse("7f00-7f10 r-xp 00001000 fe:01 1234                       /lib/a\\012b c").unwrap();
        assert_eq!((found.start, found.end, found.offset), (0x7f00, 0x7f10, 0x1000));
        assert_eq!((found.device, found.inode), ((0xfe, 1), 1234));
        assert_eq!(found.name, b"/lib/a\nb c");
        assert_eq!(
            found.link(Path::new("/proc/7")),
            Path::new("/proc/7/map_files/7f00-7f10")
        );
        assert_eq!(parse("7f00-7f10 rw-p 00000000 00:00 0 ").map(|it| it.name), None);
        assert_eq!(parse("7f00-7f10 rw-p 00000000 00:00 0"), None);
        assert_eq!(
            parse("7f00-7f10 r--p 00000000 00:00 0    [vvar]").unwrap().name,
            b"[vvar]"
        );
        assert_eq!(parse(""), None);
        assert_eq!(parse("nonsense"), None);
    }
}
