//! What CRIU wants of `/proc/PID/smaps`, without what makes it slow.
//!
//! CRIU reads each mapping's line and its `VmFlags` (`parse_smaps` in `proc_parse.c`), and the kernel walks all pages for the counts
//! between them: 20 to 40 ms per GiB. So the agent reads the file right before the freeze and keeps those lines in the gate
//! directory ([`FLAGS`]); in the freeze they lie over the file as the other veils do, if the process still has the same mappings.
//!
//! Flags can change without a mapping's line (`madvise` of all of it). So whoever commits the migration must have compared them
//! with the truth ([`difference`]), for which there is time while the target restores.

use std::fs;
use std::path::Path;

use nix::mount::{MsFlags, mount};

use super::VeilError;

/// Files of mappings and their flags: this, and the PID on the node.
pub const FLAGS: &str = "flags-";
/// What stands before a mapping's flags.
const VM_FLAGS: &str = "VmFlags:";
/// Flags that come and go with the tracking of writes, of which CRIU wants to know nothing: soft-dirty, userfaultfd.
const OF_TRACKING: [&str; 4] = ["sd", "um", "uw", "ui"];

/// The lines of `smaps` that matter.
pub fn essence(smaps: &str) -> String {
    let mut lines = String::new();
    for line in essential(smaps) {
        lines.push_str(line);
        lines.push('\n');
    }
    lines
}

fn essential(smaps: &str) -> impl Iterator<Item = &str> {
    smaps
        .lines()
        .filter(|line| is_mapping(line) || line.starts_with(VM_FLAGS))
}

/// Counts are `Name: …`.
fn is_mapping(line: &str) -> bool {
    line.split_whitespace()
        .next()
        .is_some_and(|word| !word.ends_with(':'))
}

/// Lays what was noted of a frozen process in `gate` over its smaps; true if that was possible. What cannot be used is removed, so that what is
/// there later was used. `process` is its directory in a `/proc` of this process and CRIU alone.
pub(super) fn lay(pid: i32, process: &Path, gate: &Path) -> bool {
    let noted = gate.join(format!("{FLAGS}{pid}"));
    let Ok(text) = fs::read_to_string(&noted) else {
        return false;
    };
    let none: Option<&str> = None;
    let laid = fs::read_to_string(process.join("maps")).is_ok_and(|maps| same_mappings(&text, &maps))
        && mount(Some(&noted), &process.join("smaps"), none, MsFlags::MS_BIND, none).is_ok();
    // Where it cannot be removed either, the comparison later costs time and nothing else.
    if !laid {
        let _ = fs::remove_file(&noted);
    }
    laid
}

fn same_mappings(essence: &str, maps: &str) -> bool {
    let noted = essence.lines().filter(|line| is_mapping(line));
    noted.eq(maps.lines())
}

/// The first mapping that is not in `smaps` as it was noted.
///
/// Mappings that lie side by side and differ in nothing are one: where the tracking of writes ends the kernel joins some.
///
/// Errors: one of the two cannot be read, with `path` for its name.
pub fn difference(noted: &str, smaps: &str, path: &Path) -> Result<Option<String>, VeilError> {
    let malformed = |why| VeilError::Malformed {
        path: path.to_path_buf(),
        why,
    };
    let noted = mappings(noted).ok_or_else(|| malformed("its flags are not as they were written"))?;
    let truth = mappings(smaps).ok_or_else(|| malformed("the kernel's lines are not understood"))?;
    let told = |one: Option<&Mapping<'_>>| one.map_or_else(|| "nothing".to_owned(), ToString::to_string);
    let most = noted.len().max(truth.len());
    Ok((0..most)
        .map(|at| (noted.get(at), truth.get(at)))
        .find(|(noted, truth)| noted != truth)
        .map(|(noted, truth)| format!("{} was noted, {} is there", told(noted), told(truth))))
}

/// A mapping, or several of the same kind side by side.
#[derive(Debug, PartialEq, Eq)]
struct Mapping<'a> {
    start: u64,
    end: u64,
    /// Rights, offset, device, inode and name.
    rest: &'a str,
    flags: Vec<&'a str>,
}

impl std::fmt::Display for Mapping<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            start,
            end,
            rest,
            flags,
        } = self;
        write!(
            formatter,
            "{start:x}-{end:x} {} [{}]",
            rest.trim_end(),
            flags.join(" ")
        )
    }
}

impl Mapping<'_> {
    fn goes_on_in(&self, next: &Self) -> bool {
        // Of a file the offsets would have to go on too; the kernel tracks no writes to those.
        let anonymous = self.rest.split_whitespace().nth(3) == Some("0");
        anonymous && self.end == next.start && self.rest == next.rest && self.flags == next.flags
    }
}

fn mappings(smaps: &str) -> Option<Vec<Mapping<'_>>> {
    let mut found: Vec<Mapping<'_>> = Vec::new();
    let mut lines = essential(smaps);
    while let Some(line) = lines.next() {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let flags = lines.next()?.strip_prefix(VM_FLAGS)?;
        let mapping = Mapping {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            rest,
            flags: flags
                .split_whitespace()
                .filter(|flag| !OF_TRACKING.contains(flag))
                .collect(),
        };
        match found.last_mut() {
            Some(last) if last.goes_on_in(&mapping) => last.end = mapping.end,
            _ => found.push(mapping),
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
1000-2000 r-xp 00000000 08:01 77                                 /bin/x y
Size:                  4 kB
Rss:                   4 kB
VmFlags: rd ex mr mw me 
2000-4000 rw-p 00000000 00:00 0                                  [heap]
Size:                  8 kB
Rss:                   8 kB
VmFlags: rd wr mr mw me ac 
7000-9000 rw-p 00000000 00:00 0 
Rss:                   8 kB
VmFlags: rd wr mr mw me ac uw sd 
";
    const MAPS: &str = "\
1000-2000 r-xp 00000000 08:01 77                                 /bin/x y
2000-4000 rw-p 00000000 00:00 0                                  [heap]
7000-9000 rw-p 00000000 00:00 0 
";

    fn different(noted: &str, smaps: &str) -> Option<String> {
        difference(noted, smaps, Path::new("/proc/7/smaps")).unwrap()
    }

    #[test]
    fn mappings_and_flags_are_kept_and_counts_are_not() {
        let essence = essence(SMAPS);
        assert_eq!(essence.lines().count(), 6);
        assert!(!essence.contains("kB"));
        assert_eq!(super::essence(&essence), essence);
        assert!(same_mappings(&essence, MAPS));
    }

    #[test]
    fn any_other_mapping_is_seen() {
        let essence = essence(SMAPS);
        for (from, to) in [
            ("2000-4000", "2000-5000"),
            (
                "rw-p 00000000 00:00 0                                  [heap]",
                "rw-p 00000000 00:00 0 ",
            ),
            ("08:01 77", "08:01 78"),
            ("r-xp", "r--p"),
            ("7000-9000 rw-p 00000000 00:00 0 \n", ""),
        ] {
            assert!(!same_mappings(&essence, &MAPS.replacen(from, to, 1)), "{from}");
            let smaps = match from {
                _ if to.is_empty() => SMAPS[..SMAPS.find("7000").unwrap()].to_owned(),
                _ => SMAPS.replacen(from, to, 1),
            };
            assert!(different(&essence, &smaps).is_some(), "{from}");
        }
        assert!(!same_mappings(
            &essence,
            &format!("{MAPS}a000-b000 rw-p 00000000 00:00 0 \n")
        ));
    }

    #[test]
    fn an_madvise_is_seen_and_tracking_is_not() {
        let essence = essence(SMAPS);
        assert_eq!(different(&essence, SMAPS), None);
        assert_eq!(different(&essence, &SMAPS.replace(" uw sd", "")), None);
        let advised = SMAPS.replace("me ac \n", "me dc ac \n");
        let difference = different(&essence, &advised).unwrap();
        assert!(difference.contains("2000-4000 rw-p"), "{difference}");
        assert!(
            difference.contains("[rd wr mr mw me dc ac] is there"),
            "{difference}"
        );
    }

    #[test]
    fn mappings_that_were_joined_are_the_same() {
        let parts = "2000-3000 rw-p 00000000 00:00 0 \nVmFlags: rd wr uw \n3000-4000 rw-p 00000000 00:00 0 \nVmFlags: rd wr \n";
        let one = "2000-4000 rw-p 00000000 00:00 0 \nVmFlags: rd wr \n";
        assert_eq!(different(parts, one), None);
        let file = parts.replace("00:00 0", "08:01 5");
        assert!(different(&file, &one.replace("00:00 0", "08:01 5")).is_some());
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for text in [
            "1000 rw-p\nVmFlags: rd\n",
            "1000-2000 rw-p 0 00:00 0\n",
            "VmFlags: rd\n",
        ] {
            assert!(difference(text, SMAPS, Path::new("x")).is_err(), "{text}");
            assert!(difference(SMAPS, text, Path::new("x")).is_err(), "{text}");
        }
    }

    #[test]
    fn the_kernel_s_own_files_are_understood() {
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let found = mappings(&smaps).unwrap();
        assert!(found.len() > 5, "{}", found.len());
    }
}
