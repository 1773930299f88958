//! What of CRIU's `pagemap-N.img` and `mm-N.img` the merge looks at (`images/pagemap.proto`, `mm.proto`, `vma.proto` of CRIU 4.2).

use std::path::Path;

use prost::Message;

use super::{PAGE, Span, VeilError};

/// The magic numbers in front: of images in general, and of this kind.
const MAGICS: usize = 8;
/// `PE_LAZY` of CRIU's pagemap.h.
const LAZY: u32 = 2;

const MAP_PRIVATE: u32 = 0x02;
const MAP_DROPPABLE: u32 = 0x08;
const MAP_ANONYMOUS: u32 = 0x20;
const MAP_LOCKED: u32 = 0x2000;
const MAP_HUGETLB: u32 = 0x4_0000;
/// `VMA_AREA_VSYSCALL`, `VMA_AREA_VDSO`, `VMA_AREA_VVAR` of CRIU's image.h.
const KERNELS: u32 = 1 << 2 | 1 << 3 | 1 << 12;
/// `VMA_AREA_GUARD`: no mapping but a part of another one.
const GUARD: u32 = 1 << 16;

/// What CRIU says of a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its pages are lazy.
    Lazy,
    /// Its pages are of no value: the kernel may drop them at any time, and CRIU does not dump them.
    Droppable,
    /// Its pages belong into the images.
    Eager,
}

/// The records of an image after its magic.
pub(super) fn records<'a>(bytes: &'a [u8], path: &Path) -> Result<Vec<&'a [u8]>, VeilError> {
    let bad = || VeilError::Malformed {
        path: path.to_path_buf(),
        why: "cut off",
    };
    let mut rest = bytes.get(MAGICS..).ok_or_else(bad)?;
    let mut records = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| bad())?;
        records.push(after.get(..length).ok_or_else(bad)?);
        rest = &after[length..];
    }
    if rest.is_empty() { Ok(records) } else { Err(bad()) }
}

/// Where the pages of a record of a pagemap are.
pub(super) fn span(record: &[u8], path: &Path) -> Result<Span, VeilError> {
    let bad = || VeilError::Malformed {
        path: path.to_path_buf(),
        why: "no entry of a pagemap",
    };
    let entry = wire::Entry::decode(record).map_err(|_| bad())?;
    let pages = entry.nr_pages.unwrap_or(u64::from(entry.compat_nr_pages));
    let end = pages
        .checked_mul(PAGE)
        .and_then(|length| entry.vaddr.checked_add(length));
    Ok(Span {
        start: entry.vaddr,
        end: end.ok_or_else(bad)?,
    })
}

/// A record that calls pages lazy, with its length in front.
pub(super) fn lazy(span: Span) -> Vec<u8> {
    let entry = wire::Entry {
        vaddr: span.start,
        compat_nr_pages: 0,
        flags: Some(LAZY),
        nr_pages: Some((span.end - span.start) / PAGE),
    };
    framed(&entry.encode_to_vec())
}

/// A record with its length in front.
pub(super) fn framed(record: &[u8]) -> Vec<u8> {
    // No record that was read or made here is longer than the file it is from.
    let length = u32::try_from(record.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes()[..], record].concat()
}

/// The mappings in the bytes of `mm-N.img`, by address.
pub(super) fn mappings(bytes: &[u8], path: &Path) -> Result<Vec<(Span, Kind)>, VeilError> {
    let bad = || VeilError::Malformed {
        path: path.to_path_buf(),
        why: "no description of memory",
    };
    let records = records(bytes, path)?;
    let memory = wire::Memory::decode(*records.first().ok_or_else(bad)?).map_err(|_| bad())?;
    let mut mappings: Vec<_> = memory
        .mappings
        .iter()
        .filter(|mapping| mapping.status & GUARD == 0)
        .map(|mapping| {
            let span = Span {
                start: mapping.start,
                end: mapping.end,
            };
            (span, mapping.kind())
        })
        .collect();
    mappings.sort_by_key(|(span, _)| span.start);
    Ok(mappings)
}

impl wire::Mapping {
    /// `vma_entry_can_be_lazy` of CRIU's vma.h, after `generate_vma_iovs` of mem.c.
    fn kind(&self) -> Kind {
        let has = |flags| self.flags & flags == flags;
        if has(MAP_DROPPABLE) {
            Kind::Droppable
        } else if has(MAP_ANONYMOUS | MAP_PRIVATE)
            && self.flags & (MAP_LOCKED | MAP_HUGETLB) == 0
            && self.status & KERNELS == 0
        {
            Kind::Lazy
        } else {
            Kind::Eager
        }
    }
}

/// The messages with their field numbers.
pub(super) mod wire {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct Entry {
        #[prost(uint64, required, tag = "1")]
        pub(in super::super) vaddr: u64,
        #[prost(uint32, required, tag = "2")]
        pub(in super::super) compat_nr_pages: u32,
        #[prost(uint32, optional, tag = "4")]
        pub(in super::super) flags: Option<u32>,
        #[prost(uint64, optional, tag = "5")]
        pub(in super::super) nr_pages: Option<u64>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct Memory {
        #[prost(message, repeated, tag = "14")]
        pub(in super::super) mappings: Vec<Mapping>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in super::super) struct Mapping {
        #[prost(uint64, required, tag = "1")]
        pub(in super::super) start: u64,
        #[prost(uint64, required, tag = "2")]
        pub(in super::super) end: u64,
        #[prost(uint32, required, tag = "6")]
        pub(in super::super) flags: u32,
        #[prost(uint32, required, tag = "7")]
        pub(in super::super) status: u32,
    }
}
