//! The addresses that this node carries, and what it has to say to other nodes about them.
//!
//! | file | its one idea |
//! |---|---|
//! | `entry` | one address: what is written down |
//! | `arrival` | a pod that came and does not run yet: what is written down |
//! | `files` | how it is written down |
//! | `keeper` | all addresses of the node |
//! | `coming` | a pod that comes with its addresses |
//! | `leaving` | sending addresses after a pod that leaves |
//! | `ending` | when carrying ends, and who is told |
//! | `turns` | one thing at a time for each address |
//! | `calls` | what nodes tell each other |

mod arrival;
mod calls;
mod coming;
mod ending;
mod entry;
mod files;
mod keeper;
mod leaving;
mod turns;

pub use calls::{answer_ended, answer_move, tell_home};
pub use coming::{Newcomer, Whence};
pub use ending::keep_watch;
pub use entry::{CarryError, NodeAt};
pub use keeper::{Carried, CarryKeeper};
pub use leaving::{HandOver, Leaver};
