//! Which mappings of a frozen process may be hidden.

use std::fs;
use std::path::Path;

use super::{PAGE, Span, VeilError};

/// The mappings of a process.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Mappings {
    /// Those whose pages CRIU leaves out of a lazy dump for certain.
    pub(super) lazy: Vec<Span>,
    /// All others.
    pub(super) others: Vec<Span>,
    /// The page at each thread's stack pointer, which CRIU never calls lazy (`is_stack` in mem.c).
    pub(super) stacks: Vec<u64>,
}

/// Reads the mappings of a frozen process; none if it has no memory, or if something about it is not simple.
pub(super) fn of(process: &Path) -> Result<Option<Mappings>, VeilError> {
    let read = |name: &str| {
        let path = process.join(name);
        fs::read_to_string(&path).map_err(VeilError::io("read", path))
    };
    // CRIU does not call locked memory lazy, and which it is stands in smaps alone, which takes the kernel long to write.
    if locked(&read("status")?) != Some(0) {
        return Ok(None);
    }
    let mut mappings = parse(&read("maps")?);
    let tasks = process.join("task");
    for task in fs::read_dir(&tasks).map_err(VeilError::io("read", &tasks))? {
        let path = task
            .map_err(VeilError::io("read", &tasks))?
            .path()
            .join("syscall");
        let text = fs::read_to_string(&path).map_err(VeilError::io("read", path))?;
        let Some(pointer) = stack_pointer(&text) else {
            return Ok(None);
        };
        mappings.stacks.push(pointer / PAGE * PAGE);
    }
    Ok(Some(mappings))
}

/// `VmLck` of `/proc/PID/status`, in KiB; a process without memory has none.
fn locked(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// The stack pointer in `/proc/PID/task/TID/syscall`: the last but one number. A running task has none.
fn stack_pointer(syscall: &str) -> Option<u64> {
    let word = syscall.split_whitespace().rev().nth(1)?;
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

/// `vma_entry_can_be_lazy` in CRIU's vma.h, and narrower: nothing executable (CRIU looks for the vdso among them by page number) and no name
/// that is not known.
fn parse(maps: &str) -> Mappings {
    let mut mappings = Mappings::default();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights), Some(_offset), Some(device), Some(inode)) = (
            words.next(),
            words.next(),
            words.next(),
            words.next(),
            words.next(),
        ) else {
            continue;
        };
        let name = words.next().unwrap_or_default();
        let Some((start, end)) = range.split_once('-') else {
            continue;
        };
        let number = |text| u64::from_str_radix(text, 16).ok();
        // The vsyscall page is in the kernel's half and has no entry in a pagemap.
        let (Some(start), Some(end)) = (number(start), number(end).filter(|end| *end < 1 << 62)) else {
            continue;
        };
        let anonymous = device == "00:00" && inode == "0";
        let plain = matches!(name, "" | "[heap]" | "[stack]") || name.starts_with("[anon:");
        let private = rights.ends_with('p') && !rights.contains('x');
        let span = Span { start, end };
        if anonymous && plain && private {
            mappings.lazy.push(span);
        } else {
            mappings.others.push(span);
        }
    }
    mappings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_private_anonymous_memory_is_lazy() {
        let maps = "\
            1000-2000 r-xp 00000000 08:01 77 /bin/x\n\
            2000-3000 rw-p 00000000 00:00 0 [heap]\n\
            3000-4000 rw-p 00000000 00:00 0 \n\
            4000-5000 rwxp 00000000 00:00 0 \n\
            5000-6000 rw-s 00000000 00:01 5 /dev/zero (deleted)\n\
            6000-7000 rw-p 00000000 00:00 0 [anon:glibc: malloc]\n\
            7000-8000 ---p 00000000 00:00 0 \n\
            8000-9000 r--p 00000000 00:00 0 [vvar]\n\
            9000-a000 rw-p 00000000 00:0f 9 /anon_hugepage (deleted)\n\
            b000-c000 rw-p 00000000 00:00 0 [stack]\n\
            c000-d000 rw-p 00000000 00:00 0 [shadow stack]\n\
            ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n";
        let mappings = parse(maps);
        let starts = |spans: &[Span]| spans.iter().map(|span| span.start).collect::<Vec<_>>();
        assert_eq!(starts(&mappings.lazy), [0x2000, 0x3000, 0x6000, 0x7000, 0xb000]);
        assert_eq!(
            starts(&mappings.others),
            [0x1000, 0x4000, 0x5000, 0x8000, 0x9000, 0xc000]
        );
    }

    #[test]
    fn stack_pointers_are_those_of_sleeping_tasks() {
        let waiting = "232 0x5 0x7ffe 0x80 0x64 0x0 0x0 0x7ffe26159f10 0x7f6bd9b5f\n";
        assert_eq!(stack_pointer(waiting), Some(0x7ffe_2615_9f10));
        assert_eq!(stack_pointer("-1 0x7ffe0010 0x401000\n"), Some(0x7ffe_0010));
        assert_eq!(stack_pointer("running\n"), None);
    }

    #[test]
    fn locked_memory_is_seen() {
        assert_eq!(locked("Name:\tx\nVmLck:\t       0 kB\n"), Some(0));
        assert_eq!(locked("VmLck:\t      64 kB\n"), Some(64));
        assert_eq!(locked("Name:\tzombie\n"), None);
    }
}
