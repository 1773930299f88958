//! What goes wrong with batches.

use thiserror::Error;

use super::format::Codec;

/// A batch that no encoder of this release makes: the peer is broken or the bytes were damaged. Nothing of it may be
/// applied.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// Not a batch, or of another layout.
    #[error("memory batch of layout {0}, this agent knows layout 1")]
    Version(u8),
    /// Does not begin as a batch does.
    #[error("not a memory batch")]
    Magic,
    /// Compressed in a way that this release does not know.
    #[error("memory batch with the unknown compression {0}")]
    Codec(u8),
    /// Not as long as its header says.
    #[error("memory batch of {got} bytes where its header says {said}")]
    Length {
        /// Bytes that were announced.
        said: usize,
        /// Bytes that are there.
        got: usize,
    },
    /// Over a bound.
    #[error("memory batch over its bounds: {0}")]
    TooLarge(&'static str),
    /// The compressed body is damaged.
    #[error("memory batch cannot be decompressed ({0})")]
    Compression(Codec),
    /// An operation that makes no sense.
    #[error("memory batch with a malformed operation: {0}")]
    Malformed(&'static str),
    /// An address that no process has, or not at a page's start.
    #[error("memory batch for {pages} pages at {start:#x}, which are not pages of a process")]
    Address {
        /// First address.
        start: u64,
        /// Number of pages.
        pages: u32,
    },
    /// A PID that no process has.
    #[error("memory batch for process {0}, which cannot exist")]
    Pid(u32),
}

impl WireError {
    /// Stable name.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Version(_) => "BatchVersion",
            Self::Magic => "NotABatch",
            Self::Codec(_) => "UnknownCompression",
            Self::Length { .. } => "BatchLength",
            Self::TooLarge(_) => "BatchTooLarge",
            Self::Compression(_) => "BatchDamaged",
            Self::Malformed(_) => "MalformedBatch",
            Self::Address { .. } => "BatchAddress",
            Self::Pid(_) => "BatchPid",
        }
    }
}

/// A mistake of whoever feeds an encoder. The page was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// No round has begun.
    #[error("memory page outside any round")]
    NoRound,
    /// The batch is full: take it first.
    #[error("memory batch is full")]
    Full,
    /// A round cannot begin while pages of the last one wait to be taken.
    #[error("memory round begun before the last batch was taken")]
    Pending,
    /// Not told when the round began, or taken in this round already: other pages may have been sent as copies of it.
    #[error("memory page {vaddr:#x} of process {ns_pid} was not announced for this round, or comes twice")]
    NotDue {
        /// Process.
        ns_pid: i32,
        /// Address.
        vaddr: u64,
    },
    /// Not a page of a process.
    #[error("no page of a process: process {ns_pid}, address {vaddr:#x}")]
    Place {
        /// Process.
        ns_pid: i32,
        /// Address.
        vaddr: u64,
    },
}

impl EncodeError {
    /// Stable name.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NoRound => "NoRound",
            Self::Full => "BatchFull",
            Self::Pending => "BatchPending",
            Self::NotDue { .. } => "PageNotDue",
            Self::Place { .. } => "NotAPage",
        }
    }
}
