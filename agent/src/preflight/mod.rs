//! What the source's agent sees of a pod before anything is made or touched, for `status.source.preflight`.
//!
//! | file | its one idea |
//! |---|---|
//! | `asked` | when a migration asks for a look, and that it gets one |
//! | `look` | one look at one pod: every check in its turn |
//! | `engine` | whether CRIU runs here |
//! | `processes` | what the processes do that CRIU could not take along (`godwit-preflight`) |
//! | `budget` | whether the freeze can be as short as it is to be |
//! | `time` | whether memory can be copied before the time is over |
//! | `host_files` | whether the destination, if it is named, has the files of this node that the pod uses |
//! | `finding` | what was found, as the API has it |
//!
//! Nothing here stops, changes or waits for a process of the pod. Checks that compare the two nodes (`RunsBy::Both`) run here if the migration
//! names its destination, and in any case before the manifest is sent.

mod asked;
mod budget;
mod engine;
mod finding;
mod host_files;
mod look;
mod processes;
mod time;

pub(crate) use asked::unseen;
pub use asked::{Looks, is_asked};
pub use engine::EngineVersion;
pub use look::{Subject, look};
pub(crate) use processes::{mounts, numbers};
