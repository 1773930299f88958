//! Hidden pages back into the pagemaps.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::image::{self, Kind};
use super::{HIDDEN, Span, VeilError, list};

/// No list of hidden pages and no image that is read here is longer: the pages of 16 GiB, every other one.
const LIMIT: u64 = 64 << 20;

/// The lists of hidden pages beside the images in `directory`, by PID in the container.
pub fn hidden(directory: &Path) -> Result<Vec<(i32, Vec<Span>)>, VeilError> {
    let mut lists = Vec::new();
    for entry in fs::read_dir(directory).map_err(VeilError::io("read", directory))? {
        let name = entry.map_err(VeilError::io("read", directory))?.file_name();
        let pid = name
            .to_str()
            .and_then(|name| name.strip_prefix(HIDDEN)?.strip_suffix(".img"));
        let Some(pid) = pid.and_then(|pid| pid.parse().ok()) else {
            continue;
        };
        let path = directory.join(&name);
        lists.push((pid, list::decode(&read(&path)?, &path)?));
    }
    lists.sort_by_key(|(pid, _)| *pid);
    Ok(lists)
}

/// Makes the pagemaps in `directory` call the hidden pages lazy; for images that are complete. To do it again changes nothing.
///
/// Errors: a file cannot be read or written, or pages were hidden that CRIU does not call lazy: then these images must not be restored.
pub fn merge(directory: &Path) -> Result<(), VeilError> {
    for (ns_pid, spans) in hidden(directory)? {
        let place = |kind: &str| directory.join(format!("{kind}-{ns_pid}.img"));
        if !place("core").exists() {
            // In the container's cgroup, but not of the container: CRIU has not dumped it.
            continue;
        }
        let (memory, pagemap) = (place("mm"), place("pagemap"));
        let mappings = image::mappings(&read(&memory)?, &memory)?;
        let spans = lazy_only(ns_pid, &spans, &mappings)?;
        let bytes = read(&pagemap)?;
        if let Some(merged) = united(&bytes, &spans, &pagemap)? {
            replace(&pagemap, &merged)?;
        }
    }
    Ok(())
}

/// The pages that CRIU calls lazy; those of droppable mappings are left out, and others are an error.
fn lazy_only(ns_pid: i32, spans: &[Span], mappings: &[(Span, Kind)]) -> Result<Vec<Span>, VeilError> {
    let mut kept = Vec::with_capacity(spans.len());
    for span in spans {
        let mut start = span.start;
        while start < span.end {
            let at = mappings.partition_point(|(mapping, _)| mapping.end <= start);
            let Some((mapping, kind)) = mappings.get(at).filter(|(mapping, _)| mapping.start <= start) else {
                return Err(VeilError::NotLazy {
                    ns_pid,
                    address: start,
                });
            };
            let end = span.end.min(mapping.end);
            match kind {
                Kind::Lazy => kept.push(Span { start, end }),
                Kind::Droppable => {}
                Kind::Eager => {
                    return Err(VeilError::NotLazy {
                        ns_pid,
                        address: start,
                    });
                }
            }
            start = end;
        }
    }
    Ok(kept)
}

/// The pagemap with the pages that it has not yet, in order of their addresses; none if it has them all.
fn united(bytes: &[u8], spans: &[Span], path: &Path) -> Result<Option<Vec<u8>>, VeilError> {
    let records = image::records(bytes, path)?;
    let Some((head, entries)) = records.split_first() else {
        return Err(VeilError::Malformed {
            path: path.to_path_buf(),
            why: "no head",
        });
    };
    let mut merged = bytes[..8].to_vec();
    merged.extend_from_slice(&image::framed(head));
    let mut changed = false;
    let mut left = spans.iter().copied().peekable();
    let mut rest: Option<Span> = left.next();
    let mut add = |span: Span, merged: &mut Vec<u8>| {
        if span.start < span.end {
            merged.extend_from_slice(&image::lazy(span));
            changed = true;
        }
    };
    for entry in entries {
        let there = image::span(entry, path)?;
        while let Some(span) = rest {
            if span.start >= there.end {
                break;
            }
            let before = Span {
                start: span.start,
                end: span.end.min(there.start),
            };
            add(before, &mut merged);
            // What the entry has already is left out.
            let start = span.start.max(there.end);
            rest = if start < span.end {
                if span.end <= there.start {
                    left.next()
                } else {
                    Some(Span { start, ..span })
                }
            } else {
                left.next()
            };
        }
        merged.extend_from_slice(&image::framed(entry));
    }
    while let Some(span) = rest {
        add(span, &mut merged);
        rest = left.next();
    }
    Ok(changed.then_some(merged))
}

fn read(path: &Path) -> Result<Vec<u8>, VeilError> {
    let length = fs::metadata(path).map_err(VeilError::io("read", path))?.len();
    if length > LIMIT {
        return Err(VeilError::Malformed {
            path: path.to_path_buf(),
            why: "too long",
        });
    }
    fs::read(path).map_err(VeilError::io("read", path))
}

fn replace(path: &Path, bytes: &[u8]) -> Result<(), VeilError> {
    let mut new: PathBuf = path.to_path_buf();
    new.set_extension("merged");
    let written = || -> io::Result<()> {
        fs::write(&new, bytes)?;
        fs::rename(&new, path)
    };
    written().map_err(VeilError::io("write", path))
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::veil::image::wire;

    fn span(start: u64, end: u64) -> Span {
        Span { start, end }
    }

    fn pagemap(entries: &[(u64, u64, u32)]) -> Vec<u8> {
        let mut bytes = b"MAGICMAG".to_vec();
        bytes.extend_from_slice(&image::framed(&[0x08, 1]));
        for (start, end, flags) in entries {
            let entry = wire::Entry {
                vaddr: *start,
                compat_nr_pages: 0,
                flags: Some(*flags),
                nr_pages: Some((end - start) / 4096),
            };
            bytes.extend_from_slice(&image::framed(&entry.encode_to_vec()));
        }
        bytes
    }

    fn memory(mappings: &[(u64, u64, u32)]) -> Vec<u8> {
        let memory = wire::Memory {
            mappings: mappings
                .iter()
                .map(|(start, end, flags)| wire::Mapping {
                    start: *start,
                    end: *end,
                    flags: *flags,
                    status: 1,
                })
                .collect(),
        };
        let mut bytes = b"MAGICMAG".to_vec();
        bytes.extend_from_slice(&image::framed(&memory.encode_to_vec()));
        bytes
    }

    fn directory(
        entries: &[(u64, u64, u32)],
        mappings: &[(u64, u64, u32)],
        spans: &[Span],
    ) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(directory.path().join(name), bytes).unwrap();
        write("core-7.img", b"");
        write("pagemap-7.img", &pagemap(entries));
        write("mm-7.img", &memory(mappings));
        write("hidden-7.img", &list::encode(spans));
        directory
    }

    const ANONYMOUS: u32 = 0x22;

    #[test]
    fn hidden_pages_come_back_in_their_place() {
        let directory = directory(
            &[(0x3000, 0x4000, 4), (0x8000, 0xa000, 4)],
            &[(0x1000, 0x6000, ANONYMOUS), (0x6000, 0xf000, ANONYMOUS)],
            &[span(0x1000, 0x3000), span(0x4000, 0x7000), span(0xb000, 0xc000)],
        );
        merge(directory.path()).unwrap();
        let path = directory.path().join("pagemap-7.img");
        let wanted = pagemap(&[
            (0x1000, 0x3000, 2),
            (0x3000, 0x4000, 4),
            // Cut where the mapping ends.
            (0x4000, 0x6000, 2),
            (0x6000, 0x7000, 2),
            (0x8000, 0xa000, 4),
            (0xb000, 0xc000, 2),
        ]);
        assert_eq!(fs::read(&path).unwrap(), wanted);
        merge(directory.path()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), wanted, "merged twice");
    }

    #[test]
    fn pages_that_criu_saw_all_the_same_are_kept_once() {
        let directory = directory(
            &[(0x2000, 0x4000, 2), (0x5000, 0x6000, 4), (0x9000, 0xa000, 2)],
            &[(0x1000, 0xf000, ANONYMOUS)],
            &[span(0x1000, 0x8000), span(0x9000, 0xa000)],
        );
        merge(directory.path()).unwrap();
        let wanted = pagemap(&[
            (0x1000, 0x2000, 2),
            (0x2000, 0x4000, 2),
            (0x4000, 0x5000, 2),
            (0x5000, 0x6000, 4),
            (0x6000, 0x8000, 2),
            (0x9000, 0xa000, 2),
        ]);
        assert_eq!(fs::read(directory.path().join("pagemap-7.img")).unwrap(), wanted);
    }

    #[test]
    fn memory_that_would_be_lost_is_an_error() {
        let locked = ANONYMOUS | 0x2000;
        for mappings in [&[(0x1000, 0x4000, locked)][..], &[(0x1000, 0x2000, ANONYMOUS)]] {
            let directory = directory(&[], mappings, &[span(0x1000, 0x3000)]);
            assert_eq!(merge(directory.path()).unwrap_err().reason(), "HiddenNotLazy");
        }
    }

    #[test]
    fn droppable_memory_is_nobodys() {
        let directory = directory(&[], &[(0x1000, 0x4000, 0x28)], &[span(0x1000, 0x3000)]);
        merge(directory.path()).unwrap();
        assert_eq!(
            fs::read(directory.path().join("pagemap-7.img")).unwrap(),
            pagemap(&[])
        );
    }

    #[test]
    fn damaged_images_are_errors() {
        let directory = directory(&[], &[(0x1000, 0x4000, ANONYMOUS)], &[span(0x1000, 0x3000)]);
        let path = directory.path().join("pagemap-7.img");
        let whole = fs::read(&path).unwrap();
        for cut in [4, 8, 10, whole.len() - 1] {
            fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(
                merge(directory.path()).unwrap_err().reason(),
                "ImagesMalformed",
                "{cut}"
            );
        }
    }
}
