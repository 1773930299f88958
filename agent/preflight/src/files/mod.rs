//! Files of the node that processes of the pod have mapped or open: device plugins, CDI, NRI and hooks of the runtime put them into containers, and
//! neither the image nor a volume brings them along. CRIU writes no page of a file that was not changed: at the destination it is read from the file
//! that is there. So that must be the same one.

mod cache;
mod compare;
mod found;
mod here;
mod node_path;
mod origin;
mod used;

pub use self::cache::Cache;
pub use self::compare::compare;
pub use self::found::{Found, Other};
pub use self::here::{Here, here};
pub use self::used::used;
pub use crate::elf::{ElfError, Symbol};

/// Largest file that is compared.
pub const MAX_BYTES: u64 = 1 << 30;
/// Most files of the node that one pod may use: a GPU driver brings some hundred.
pub const MAX_FILES: usize = 4096;
/// Most needed symbols that are told of one file.
pub const MAX_NEEDS: usize = 20_000;

/// What identifies a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of all of it.
    pub digest: [u8; 32],
    /// The linker's id of the build (`NT_GNU_BUILD_ID`), if it is an ELF file that has one.
    pub build_id: Option<Vec<u8>>,
}

/// A file of the node that the pod uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFile {
    /// Its path in the container.
    pub path: String,
    /// Its path on the node, where the destination's is looked for; the same as `path` if it cannot be told.
    pub on_node: String,
    /// None: it is too large or could not be read.
    pub content: Option<Content>,
    /// Who uses it: every process once.
    pub users: Vec<User>,
    /// What objects of these processes need of it, if it is a library: unbound ones first, [`MAX_NEEDS`] at most.
    pub needs: Vec<Need>,
}

/// A process that uses a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its container.
    pub container: String,
    /// Its PID inside the pod.
    pub pid: u32,
    /// Its name.
    pub process: String,
    /// Mapped, and not only open.
    pub mapped: bool,
}

/// A symbol that an object of a process needs of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The symbol.
    pub symbol: Symbol,
    /// The object that needs it, as a path in the container.
    pub object: String,
    /// Which of [`HostFile::users`].
    pub user: usize,
    /// It will be looked for in the destination's file, when it is called for the first time.
    pub unbound: bool,
}
