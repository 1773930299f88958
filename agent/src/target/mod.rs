//! The target's side of a migration. It decides nothing: it prepares, holds, and does what the source says.
//!
//! | file | its one idea |
//! |---|---|
//! | `task` | from the plan to the last trace |
//! | `attempt` | from the source's connection to *prepared* |
//! | `inbox` | what arrives, and where it goes |
//! | `restoring` | the containers, one after the other, as kubelet starts them |
//! | `container` | one container and its runtime |
//! | `trees` | files written before the processes exist |
//! | `volumes` | volumes, filled while their content arrives |
//! | `room` | whether the pod's memory has a place here |
//! | `parking` | ending the parking |
//! | `verdict` | asking the source, when the connection is gone |
//! | `doors` | by what the source's agent comes |
//! | `link` | the source's connection, and another one in its place |
//! | `lanes`, `lane` | connections that bring memory while the source runs |
//! | `shared` | volumes that other nodes write to as well |
//! | `stores` | where memory is kept |
//! | `pages` | memory that comes in the freeze, and whether all of it has come |
//! | `page_server` | the process that gives a restored container its memory |
//! | `letting_go` | after the commit |
//! | `filling` | until the pod has all its memory |
//! | `giving_up` | the end of an attempt that never runs |
//! | `reopening` | what an earlier life of the agent had begun |
//! | `ending` | ending what was restored and must never run |

mod attempt;
mod container;
mod doors;
mod ending;
mod filling;
mod giving_up;
pub(crate) mod inbox;
mod lane;
pub(crate) mod lanes;
mod letting_go;
pub(crate) mod link;
mod logs;
pub(crate) mod page_server;
pub(crate) mod pages;
pub mod parking;
mod reopening;
mod restoring;
pub(crate) mod room;
mod shared;
mod status;
pub(crate) mod stores;
mod task;
pub(crate) mod trees;
mod verdict;
pub(crate) mod volumes;

pub use container::ContainerError;
pub use doors::Doors;
pub use link::Link;
pub use task::TargetTask;
