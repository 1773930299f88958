//! Images made here, whole and broken.

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::range::PageRange;

fn image(magic: u32, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = 0x5456_4319_u32.to_ne_bytes().to_vec();
    bytes.extend(magic.to_ne_bytes());
    for frame in frames {
        bytes.extend(u32::try_from(frame.len()).unwrap().to_ne_bytes());
        bytes.extend(frame);
    }
    bytes
}

fn page_entry(vaddr: u64, pages: u64, flags: u32) -> Vec<u8> {
    messages::PagemapEntry {
        vaddr: Some(vaddr),
        compat_nr_pages: Some(7),
        flags: Some(flags),
        nr_pages: Some(pages),
    }
    .encode_to_vec()
}

fn vma(start: u64, end: u64, madv: u64) -> messages::VmaEntry {
    messages::VmaEntry {
        start: Some(start),
        end: Some(end),
        madv: Some(madv),
    }
}

/// A dump of processes 1 (with memory) and 2 (a zombie).
fn dump(dir: &Path, vmas: Vec<messages::VmaEntry>, entries: &[Vec<u8>]) {
    let tree = [1, 2].map(|pid| messages::PstreeEntry { pid: Some(pid) }.encode_to_vec());
    std::fs::write(dir.join("pstree.img"), image(frames::PSTREE, &tree)).unwrap();
    let mm = messages::MmEntry { vmas }.encode_to_vec();
    std::fs::write(dir.join("mm-1.img"), image(frames::MM, &[mm])).unwrap();
    let mut all = vec![vec![8, 1]];
    all.extend_from_slice(entries);
    std::fs::write(dir.join("pagemap-1.img"), image(frames::PAGEMAP, &all)).unwrap();
}

#[test]
fn lazy_entries_are_split_at_ends_of_mappings() {
    let dir = tempfile::tempdir().unwrap();
    let vmas = vec![
        vma(0x10000, 0x13000, 0),
        vma(0x13000, 0x20000, 1 << 18),
        vma(0xffff_ffff_ff60_0000, 0xffff_ffff_ff60_1000, 0),
    ];
    let entries = [
        page_entry(0x10000, 1, 4),
        page_entry(0x11000, 4, 2),
        page_entry(0x1f000, 1, 6),
    ];
    dump(dir.path(), vmas, &entries);
    let found = lazy_pages(dir.path()).unwrap();
    assert_eq!(found.len(), 1, "a zombie has no memory");
    assert_eq!(
        found[0].ranges,
        [(0x11000, 2), (0x13000, 2), (0x1f000, 1)].map(|(start, pages)| PageRange { start, pages })
    );
    assert_eq!(found[0].vmas.len(), 2);
    assert!(!found[0].vmas[0].not_inherited);
    assert!(found[0].vmas[1].not_inherited);
}

#[test]
fn nonsense_is_refused() {
    let whole = || vec![vma(0x10000, 0x20000, 0)];
    for (vmas, entries) in [
        (whole(), vec![page_entry(0x20000, 1, 2)]),
        (whole(), vec![page_entry(0x1f000, 2, 2)]),
        (
            whole(),
            vec![page_entry(0x11000, 2, 2), page_entry(0x12000, 1, 2)],
        ),
        (whole(), vec![page_entry(0x11001, 1, 2)]),
        (whole(), vec![page_entry(0x11000, u64::MAX, 2)]),
        (whole(), vec![page_entry(0x11000, 1 << 60, 2)]),
        (vec![vma(0x10000, 0x10000, 0)], vec![]),
        (vec![vma(0x20000, 0x30000, 0), vma(0x10000, 0x20000, 0)], vec![]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        dump(dir.path(), vmas, &entries);
        assert_eq!(lazy_pages(dir.path()).unwrap_err().reason(), "ImageMalformed");
    }
}

#[test]
fn a_process_without_mappings_file_is_no_zombie() {
    let dir = tempfile::tempdir().unwrap();
    dump(dir.path(), vec![], &[]);
    std::fs::remove_file(dir.path().join("mm-1.img")).unwrap();
    assert_eq!(lazy_pages(dir.path()).unwrap_err().reason(), "ImageUnreadable");
}

proptest! {
    #[test]
    fn broken_files_end_in_an_error_or_in_sound_ranges(file in 0..3_usize, cut in 0..200_usize, flips in proptest::collection::vec((0..200_usize, any::<u8>()), 0..6)) {
        let dir = tempfile::tempdir().unwrap();
        let entries: Vec<_> = (0..8).map(|i| page_entry(0x10000 + i * 0x2000, 1, 2)).collect();
        dump(dir.path(), vec![vma(0x10000, 0x18000, 0), vma(0x18000, 0x40000, 0)], &entries);
        let path = dir.path().join(["pstree.img", "mm-1.img", "pagemap-1.img"][file]);
        let mut bytes = std::fs::read(&path).unwrap();
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] ^= value;
        }
        bytes.truncate(bytes.len() - cut % bytes.len());
        std::fs::write(&path, &bytes).unwrap();
        if let Ok(found) = lazy_pages(dir.path()) {
            for process in found {
                prop_assert!(process.ranges.is_sorted_by(|a, b| a.end() <= b.start));
                for range in process.ranges {
                    prop_assert!(process.vmas.iter().any(|vma| vma.start <= range.start && range.end() <= vma.end));
                }
            }
        }
    }
}
