//! The few messages of CRIU's `images/*.proto` that are read here. Required fields are optional in these, so that their absence is noticed.

/// `pagemap_entry` of `pagemap.proto`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct PagemapEntry {
    #[prost(uint64, optional, tag = "1")]
    pub(super) vaddr: Option<u64>,
    #[prost(uint32, optional, tag = "2")]
    pub(super) compat_nr_pages: Option<u32>,
    #[prost(uint32, optional, tag = "4")]
    pub(super) flags: Option<u32>,
    /// Wins over `compat_nr_pages`.
    #[prost(uint64, optional, tag = "5")]
    pub(super) nr_pages: Option<u64>,
}

/// `mm_entry` of `mm.proto`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MmEntry {
    #[prost(message, repeated, tag = "14")]
    pub(super) vmas: Vec<VmaEntry>,
}

/// `vma_entry` of `vma.proto`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct VmaEntry {
    #[prost(uint64, optional, tag = "1")]
    pub(super) start: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) end: Option<u64>,
    /// One bit per advice of madvise(2) that holds for the mapping.
    #[prost(uint64, optional, tag = "9")]
    pub(super) madv: Option<u64>,
}

/// `pstree_entry` of `pstree.proto`.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct PstreeEntry {
    #[prost(uint32, optional, tag = "1")]
    pub(super) pid: Option<u32>,
}
