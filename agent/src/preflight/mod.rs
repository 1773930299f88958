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
//! | `finding` | what was found, as the API has it |
//!
//! Nothing here stops, changes or waits for a process of the pod. Checks that compare the two nodes (`RunsBy::Both`) have their
//! place in `look` on the source's side, as facts in its report, and are judged by the target's agent when the plan names it.

mod asked;
mod budget;
mod engine;
mod finding;
mod look;
mod processes;
mod time;

pub use asked::{Looks, is_asked};
pub use engine::EngineVersion;
pub use look::{Subject, look};
