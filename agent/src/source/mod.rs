//! The source's side of a migration.
//!
//! | file | its one idea |
//! |---|---|
//! | `attempt` | from nothing to *prepared*: the steps in their order |
//! | `containers` | which containers are moved, in which order |
//! | `bystanders` | the others, which are only frozen |
//! | `discover` | finding the pod on the node |
//! | `connect` | the connection to the target's agent |
//! | `clock` | whether the two nodes' clocks are alike |
//! | `host_files` | files of the node that the pod uses, held against the target's |
//! | `copying` | files, while the pod runs |
//! | `keeping` | the same while memory is copied: another one in its place |
//! | `ahead` | memory, while the pod runs |
//! | `checkpoint` | `runc checkpoint` up to its gate |
//! | `freeze` | the frozen part of it |
//! | `stop` | a freeze at a moment at which the pod can be dumped |
//! | `memory` | memory that travels ahead |
//! | `flags` | what CRIU is told of mappings, noted before it and confirmed after it |
//! | `dump` | one container: gate, dump, images |
//! | `room` | a dump that failed for want of room |
//! | `stall` | a dump in which nothing happens |
//! | `images`, `stream` | bytes on their way |
//! | `status` | what the agent says in `status.source` |
//! | `sysv` | which container brings the pod's SysV objects along |
//! | `shared` | volumes that both nodes have mounted: no locks, and synced |
//! | `facts` | what is known of the pod |
//! | `volumes` | which volumes travel |
//! | `undo` | back to a source that runs |
//! | `settle` | after the commit |
//! | `task` | which of these when; the commit itself |

mod ahead;
mod attempt;
mod bystanders;
mod checkpoint;
mod clock;
mod connect;
mod containers;
mod copying;
mod discover;
mod dump;
mod facts;
mod flags;
mod freeze;
mod host_files;
mod images;
mod keeping;
mod logs;
mod memory;
mod room;
mod sessions;
mod settle;
mod shared;
mod stall;
mod status;
mod stop;
mod stream;
mod sysv;
mod task;
mod undo;
mod volumes;

pub(crate) use clock::now_us;
pub(crate) use containers::{lasting, moved};
pub use images::ImagesError;
pub use memory::MemoryError;
pub(crate) use memory::{own_memory_of, resident_of, shortest_freeze};
pub use shared::SharedError;
pub use stop::StopError;
pub use stream::StreamError;
pub use sysv::SysvError;
pub use task::SourceTask;
