//! What a peer may ask of us: every bound of the protocol.

/// Longest payload of a data frame, in bytes.
pub const MAX_FRAME_LEN: usize = 1 << 20;
/// Longest payload of a control frame, in bytes. What prost makes of it in memory is at most a small multiple.
pub const MAX_CONTROL_LEN: usize = 64 << 10;
/// Length of a chunk that the sending side should aim at, in bytes: large enough that the costs per frame vanish,
/// small enough to stay in a core's own cache between hashing and encryption.
pub const CHUNK_LEN: usize = 256 << 10;
/// Longest name of an object, in bytes.
pub const MAX_OBJECT_NAME: usize = 128;
/// Most containers of one pod.
pub const MAX_CONTAINERS: usize = 64;
/// Most volumes of one pod whose content comes along.
pub const MAX_VOLUMES: usize = 128;
/// Most addresses in one message.
pub const MAX_ADDRESSES: usize = 16;
/// Most paths of the node in a manifest.
pub const MAX_HOST_PATHS: usize = 32;
/// Longest of them, in bytes; together they fit into a control frame.
pub const MAX_HOST_PATH: usize = 1024;
/// Most files in one question about files of the node.
pub const MAX_WANTED_FILES: usize = 256;
/// Most symbols in one such question, of all files together.
pub const MAX_WANTED_SYMBOLS: usize = 2048;
/// Longest name or version of a symbol, in bytes.
pub const MAX_SYMBOL: usize = 4096;
/// Most files of the node in a manifest that may differ.
pub const MAX_OTHER_FILES: usize = 256;
/// All their paths together, in bytes.
pub const MAX_OTHER_FILES_LEN: usize = 16 << 10;
/// Longest free text (what an error says), in bytes. Longer text is cut by the constructors of the messages.
pub const MAX_MESSAGE_TEXT: usize = 8 << 10;
/// Most lanes of one migration.
pub const MAX_LANES: u32 = 8;
/// Most objects of a lane that have begun and are not known to be kept by the target: what a source has to send again if the lane
/// breaks, and what it has to remember for it.
pub const MAX_UNSTORED: u32 = 8;
/// Most pings that may be under way in one direction.
pub(crate) const MAX_PINGS: u32 = 16;

/// Bounds that a receiver can set tighter than the protocol does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most objects open at the same time.
    pub open_objects: usize,
    /// Most objects in one session.
    pub objects: usize,
    /// Longest object, in bytes.
    pub object_bytes: u64,
    /// Most bytes of objects in one session.
    pub session_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            open_objects: 256,
            objects: 32_768,
            object_bytes: 1 << 40,
            session_bytes: 4 << 40,
        }
    }
}
