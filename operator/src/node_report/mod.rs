//! The operator's part of the nodes' reports: what it knows of each pod, as if a migration with the default spec asked for it, and
//! the one answer that it makes of that and of what the node's agent has seen.
//!
//! `controller` acts: it reads ([`crate::observe::unasked`]) and writes; `answer` decides, and is pure. The API server is not asked
//! whether it would take a target pod: that would be a create for each pod each time, of which webhooks would hear. A dry run asks it.

mod answer;
mod controller;

pub use answer::{Known, answer, known};
pub use controller::run;
