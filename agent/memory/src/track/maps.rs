//! The mappings of a process, from `/proc/PID/maps` (proc(5)).
//!
//! `smaps` says more but walks all page tables (30 ms at 4 GiB); it is read only if the process has locked memory.
//!
//! What CRIU restores lazily is `vma_entry_can_be_lazy` (criu/include/vma.h): private and anonymous, not locked, not hugetlb, not the
//! vdso, vvar or vsyscall page. A private hugetlb mapping, an AIO ring and a mapping of /dev/zero show a file in `maps`. Whether a
//! mapping is writable does not matter.

use std::collections::BTreeSet;

use crate::range::PAGE;

/// What a mapping is for the tracker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Restored lazily by CRIU.
    Lazy,
    /// Would be, if it were not locked in memory.
    Locked,
    /// The vdso.
    Vdso,
    /// Anything else: CRIU copies it itself.
    Other,
}

/// One mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// First byte.
    pub start: u64,
    /// Behind the last byte.
    pub end: u64,
    /// Whether its pages can be executed.
    pub executable: bool,
    /// What it is.
    pub kind: Kind,
}

impl Mapping {
    /// Whether this is the vdso.
    pub fn is_vdso(&self) -> bool {
        self.kind == Kind::Vdso
    }
}

/// Reads the text of `/proc/PID/maps`, in the order of addresses and without overlaps. Lines that make no sense are left out.
///
/// The kernel makes the text piece by piece (`fs/seq_file.c`), and looks for the next mapping at the end of the last one it has told of: one
/// that has grown or was replaced in between begins before that end.
pub fn parse(text: &str) -> Vec<Mapping> {
    let mut told = 0;
    let lines = text.lines().filter_map(line).filter_map(|mut mapping| {
        mapping.start = mapping.start.max(told);
        told = told.max(mapping.end);
        (mapping.start < mapping.end).then_some(mapping)
    });
    lines.collect()
}

fn line(line: &str) -> Option<Mapping> {
    let mut words = line.splitn(6, ' ');
    let (start, end) = words.next()?.split_once('-')?;
    let start = u64::from_str_radix(start, 16).ok()?;
    let end = u64::from_str_radix(end, 16).ok()?;
    let permissions = words.next()?.as_bytes();
    let (_offset, device, inode) = (words.next()?, words.next()?, words.next()?);
    let name = words.next().unwrap_or("").trim_start();
    if start >= end || !start.is_multiple_of(PAGE) || !end.is_multiple_of(PAGE) {
        return None;
    }
    Some(Mapping {
        start,
        end,
        executable: permissions.get(2) == Some(&b'x'),
        kind: match name {
            "[vdso]" => Kind::Vdso,
            _ if permissions.get(3) != Some(&b'p') || device != "00:00" || inode != "0" => Kind::Other,
            "" | "[heap]" => Kind::Lazy,
            _ if name.starts_with("[stack") || name.starts_with("[anon:") => Kind::Lazy,
            _ => Kind::Other,
        },
    })
}

/// Marks the lazy mappings that begin at one of these addresses as locked.
pub fn mark_locked(mappings: &mut [Mapping], locked: &BTreeSet<u64>) {
    for mapping in mappings {
        if mapping.kind == Kind::Lazy && locked.contains(&mapping.start) {
            mapping.kind = Kind::Locked;
        }
    }
}

/// The addresses at which locked mappings begin, from the text of `/proc/PID/smaps`: those with `lo` among their `VmFlags`.
pub fn locked(smaps: &str) -> BTreeSet<u64> {
    let mut starts = BTreeSet::new();
    let mut start = None;
    for line in smaps.lines() {
        if let Some(flags) = line.strip_prefix("VmFlags:") {
            if flags.split_ascii_whitespace().any(|flag| flag == "lo") {
                starts.extend(start);
            }
        } else if let Some(first) = line
            .split_once('-')
            .and_then(|(first, _)| u64::from_str_radix(first, 16).ok())
        {
            start = Some(first);
        }
    }
    starts
}

/// Spans that hold lazy mappings and no other known ones, from the first mapping's start to the last one's end. Holes are inside.
pub fn runs(mappings: &[Mapping]) -> Vec<(u64, u64)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    let mut open = false;
    for mapping in mappings {
        if mapping.kind != Kind::Lazy {
            open = false;
        } else if open && let Some(run) = runs.last_mut() {
            run.1 = mapping.end;
        } else {
            runs.push((mapping.start, mapping.end));
            open = true;
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_that_changed_while_they_were_listed_do_not_overlap() {
        let text = "\
7f0000000000-7f0000004000 rw-p 00000000 00:00 0
7f0000002000-7f0000008000 rw-p 00000000 00:00 0
7f0000005000-7f0000006000 rw-p 00000000 00:00 0
7f0000008000-7f0000009000 rw-p 00000000 00:00 0
";
        let spans: Vec<_> = parse(text)
            .iter()
            .map(|mapping| (mapping.start & 0xffff, mapping.end & 0xffff))
            .collect();
        assert_eq!(spans, [(0, 0x4000), (0x4000, 0x8000), (0x8000, 0x9000)]);
    }

    const TEXT: &str = "\
55d0c6c00000-55d0c6c02000 r--p 00000000 fe:00 393 /usr/bin/cat with space
55d0c6c02000-55d0c6c03000 rw-p 00002000 fe:00 393 /usr/bin/cat
55d0c7a00000-55d0c7a21000 rw-p 00000000 00:00 0                          [heap]
7f0000000000-7f0000200000 rw-p 00000000 00:00 0 
7f0000200000-7f0000201000 ---p 00000000 00:00 0 
7f0000400000-7f0000401000 rwxp 00000000 00:00 0                          [anon:jit code]
7f0000500000-7f0000600000 rw-s 00000000 00:01 1029                       /dev/zero (deleted)
7f0000600000-7f0000800000 rw-p 00000000 00:0f 5                          /anon_hugepage (deleted)
7f0000800000-7f0000900000 rw-p 00000000 00:05 4                          /dev/zero
7f0000900000-7f0000901000 rw-s 00000000 00:0e 9                          /[aio] (deleted)
7ffc0e5d0000-7ffc0e5f1000 rw-p 00000000 00:00 0                          [stack]
7ffc0e5f3000-7ffc0e5f7000 r--p 00000000 00:00 0                          [vvar]
7ffc0e5f7000-7ffc0e5f9000 r-xp 00000000 00:00 0                          [vdso]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
nonsense
7f00-6f00 rw-p 00000000 00:00 0
";

    #[test]
    fn private_anonymous_mappings_are_lazy() {
        use Kind::{Lazy, Other, Vdso};

        let kinds: Vec<Kind> = parse(TEXT).iter().map(|mapping| mapping.kind).collect();
        assert_eq!(
            kinds,
            [
                Other, Other, Lazy, Lazy, Lazy, Lazy, Other, Other, Other, Other, Lazy, Other, Vdso, Other
            ]
        );
        assert!(parse(TEXT)[5].executable);
        assert!(!parse(TEXT)[3].executable);
    }

    #[test]
    fn runs_end_at_other_mappings() {
        assert_eq!(
            runs(&parse(TEXT)),
            [
                (0x55d0_c7a0_0000, 0x7f00_0040_1000),
                (0x7ffc_0e5d_0000, 0x7ffc_0e5f_1000)
            ]
        );
    }

    #[test]
    fn locked_mappings_are_found() {
        let smaps = "\
7f0000000000-7f0000200000 rw-p 00000000 00:00 0
Size:               2048 kB
VmFlags: rd wr mr mw me ac sd
7f0000200000-7f0000201000 ---p 00000000 00:00 0
VmFlags: rd wr lo ac
";
        let mut mappings = parse(TEXT);
        mark_locked(&mut mappings, &locked(smaps));
        assert_eq!(mappings[3].kind, Kind::Lazy);
        assert_eq!(mappings[4].kind, Kind::Locked);
    }
}
