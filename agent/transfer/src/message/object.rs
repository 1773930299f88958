//! Objects as they are announced and ended.

/// Start of an object as it is on the wire; [`crate::ObjectSpec`] is what programs use.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ObjectStart {
    /// Stream of its data frames: 1, 2, 3… in each session.
    #[prost(uint32, tag = "1")]
    pub id: u32,
    /// 1: CRIU image, 2: base copy of files, 3: changes of files, 4: descriptors, 5: pages of memory,
    /// 6: base copy of a volume, 7: changes of a volume.
    #[prost(uint32, tag = "2")]
    pub kind: u32,
    /// Container; empty: the pod's own.
    #[prost(string, tag = "3")]
    pub container: String,
    /// File name of a CRIU image, number of the round of pages, name of the volume, empty else.
    #[prost(string, tag = "4")]
    pub name: String,
    /// Bytes expected; no promise.
    #[prost(uint64, tag = "5")]
    pub size_hint: u64,
    /// Permission bits.
    #[prost(uint32, tag = "6")]
    pub mode: u32,
}

/// End of an object.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct ObjectEnd {
    /// Which.
    #[prost(uint32, tag = "1")]
    pub id: u32,
    /// Its length in bytes.
    #[prost(uint64, tag = "2")]
    pub len: u64,
    /// BLAKE3 of the checks of its data frames, 4 bytes each, in their order; 32 bytes.
    #[prost(bytes = "vec", tag = "4")]
    pub checks: Vec<u8>,
}
