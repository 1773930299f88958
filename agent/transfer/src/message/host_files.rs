//! Files of the node that processes of the pod use: what the destination has in their place.

/// A symbol that a process of the pod needs of a library.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct WantedSymbol {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version; empty: it has none.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// One file that is asked for.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct WantedFile {
    /// Where it is, absolute, in the node's view.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Its length on the asker's node, in bytes.
    #[prost(uint64, tag = "2")]
    pub size: u64,
    /// BLAKE3 of it on the asker's node, 32 bytes; empty: not known there.
    #[prost(bytes = "bytes", tag = "3")]
    pub digest: bytes::Bytes,
    /// Symbols of which it is to be told whether the file lacks them.
    #[prost(message, repeated, tag = "4")]
    pub symbols: Vec<WantedSymbol>,
}

/// What does this node have in the place of these files?
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct WantedFiles {
    /// The files, one at least.
    #[prost(message, repeated, tag = "1")]
    pub files: Vec<WantedFile>,
}

/// How a file is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum FileState {
    /// Not a state; what a missing field reads as.
    Unspecified = 0,
    /// The same, byte by byte.
    Same = 1,
    /// Another one.
    Differs = 2,
    /// There is none.
    Missing = 3,
    /// It is too large, or cannot be read, or the asker does not know its own.
    Incomparable = 4,
}

/// What is there in the place of one file. Of its content no more is told than where it came from: the asker might ask for any file.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct FoundFile {
    /// How it is there.
    #[prost(enumeration = "FileState", tag = "1")]
    pub state: i32,
    /// Its length in bytes, if it differs.
    #[prost(uint64, tag = "2")]
    pub size: u64,
    /// The linker's id of its build, if it differs and has one.
    #[prost(bytes = "bytes", tag = "3")]
    pub build_id: bytes::Bytes,
    /// True if it differs and is a library or program.
    #[prost(bool, tag = "4")]
    pub is_elf: bool,
    /// If it differs, which of the symbols of the question it lacks, by their place there.
    #[prost(uint32, repeated, tag = "5")]
    pub lacks: Vec<u32>,
}

/// The answer, a file for each of the question, in its order.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct FoundFiles {
    /// The files.
    #[prost(message, repeated, tag = "1")]
    pub files: Vec<FoundFile>,
}
