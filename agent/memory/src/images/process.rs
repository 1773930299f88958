//! One process: its mappings and its lazy pages.

use std::path::Path;

use super::frames::{self, MM, PAGEMAP};
use super::messages::{MmEntry, PagemapEntry};
use super::{ImageError, malformed};
use crate::range::{PAGE, PageRange};

/// No process has more page map entries or mappings.
pub const MAX_ENTRIES: usize = 4 * 1024 * 1024;
/// No address of a process is higher: what five levels of page tables can name.
const MAX_ADDRESS: u64 = 1 << 57;
/// `PE_LAZY` of CRIU's `criu/include/pagemap.h`.
const PE_LAZY: u32 = 2;

/// A mapping as it was at the dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// Address of the first byte.
    pub start: u64,
    /// Address behind the last byte.
    pub end: u64,
    /// A forked child does not get it as it is: `MADV_DONTFORK` or `MADV_WIPEONFORK`.
    pub not_inherited: bool,
}

/// The pages of a process that are to come from the page server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LazyProcess {
    /// The PID in the container.
    pub ns_pid: i32,
    /// The lazy pages: sorted, without overlap, none across the end of a mapping.
    pub ranges: Vec<PageRange>,
    /// All mappings, sorted, without overlap.
    pub vmas: Vec<Mapping>,
}

/// The lazy pages of one process of the dump in `dir`; `None` if the process has no memory (a zombie).
pub fn lazy_process(dir: &Path, ns_pid: i32) -> Result<Option<LazyProcess>, ImageError> {
    let path = dir.join(format!("pagemap-{ns_pid}.img"));
    let pagemap = match frames::load(&path) {
        Ok(bytes) => bytes,
        Err(ImageError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let vmas = mappings(&dir.join(format!("mm-{ns_pid}.img")))?;
    let ranges = ranges(&path, &pagemap, &vmas)?;
    Ok(Some(LazyProcess { ns_pid, ranges, vmas }))
}

fn mappings(path: &Path) -> Result<Vec<Mapping>, ImageError> {
    let bytes = frames::load(path)?;
    let frame = frames::frames(path, &bytes, MM)?
        .next()
        .ok_or_else(|| malformed(path, "it is empty"))??;
    let entry: MmEntry = frames::decode(path, frame)?;
    if entry.vmas.len() > MAX_ENTRIES {
        return Err(too_many(path));
    }
    let mut vmas: Vec<Mapping> = Vec::with_capacity(entry.vmas.len());
    let forked = 1 << libc::MADV_DONTFORK | 1 << libc::MADV_WIPEONFORK;
    for vma in entry.vmas {
        let (Some(start), Some(end)) = (vma.start, vma.end) else {
            return Err(malformed(path, "a mapping has no bounds"));
        };
        let before = vmas.last().map_or(0, |vma| vma.end);
        // The vsyscall page of x86-64 lies in the kernel's half; it ends the list and is never lazy.
        if start >= MAX_ADDRESS {
            break;
        }
        if start % PAGE != 0 || end % PAGE != 0 || start >= end || end > MAX_ADDRESS || start < before {
            return Err(malformed(path, "its mappings are not in order"));
        }
        vmas.push(Mapping {
            start,
            end,
            not_inherited: vma.madv.unwrap_or(0) & forked != 0,
        });
    }
    Ok(vmas)
}

fn ranges(path: &Path, bytes: &[u8], vmas: &[Mapping]) -> Result<Vec<PageRange>, ImageError> {
    let mut ranges: Vec<PageRange> = Vec::new();
    let mut vmas = vmas.iter().peekable();
    let mut last = 0;
    let mut entries = frames::frames(path, bytes, PAGEMAP)?;
    // The head names the file of the pages.
    entries
        .next()
        .ok_or_else(|| malformed(path, "it has no head"))??;
    for frame in entries {
        let entry: PagemapEntry = frames::decode(path, frame?)?;
        let start = entry
            .vaddr
            .ok_or_else(|| malformed(path, "an entry has no address"))?;
        let pages = entry
            .nr_pages
            .filter(|pages| *pages != 0)
            .unwrap_or(u64::from(entry.compat_nr_pages.unwrap_or(0)));
        let end = pages
            .checked_mul(PAGE)
            .and_then(|bytes| start.checked_add(bytes))
            .filter(|end| *end <= MAX_ADDRESS)
            .ok_or_else(|| malformed(path, "an entry ends outside the address space"))?;
        if pages == 0 || start % PAGE != 0 || start < last {
            return Err(malformed(path, "its entries are not in order"));
        }
        last = end;
        if entry.flags.unwrap_or(0) & PE_LAZY == 0 {
            continue;
        }
        let mut at = start;
        while at < end {
            while vmas.next_if(|vma| vma.end <= at).is_some() {}
            let vma = vmas
                .peek()
                .filter(|vma| vma.start <= at)
                .ok_or_else(|| malformed(path, "a lazy page lies in no mapping"))?;
            let stop = end.min(vma.end);
            if ranges.len() == MAX_ENTRIES {
                return Err(too_many(path));
            }
            ranges.push(PageRange {
                start: at,
                pages: (stop - at) / PAGE,
            });
            at = stop;
        }
    }
    Ok(ranges)
}

fn too_many(path: &Path) -> ImageError {
    ImageError::TooMany {
        path: path.to_path_buf(),
        limit: MAX_ENTRIES,
    }
}
