//! The agent's part of its node's report: a look at every pod, again and again, without anybody having asked to move one.
//!
//! | file | its one idea |
//! |---|---|
//! | `schedule` | when a look is due, and when what it saw is worth writing; pure |
//! | `round` | one look at every pod of the node, one after the other |
//! | `object` | the report's object: watched, made, written |
//! | `keeper` | the loop |
//!
//! It is of the lowest priority: it never begins with a pod while a migration is at work here, and pauses between pods.

mod error;
mod keeper;
mod object;
mod round;
mod schedule;

pub use error::ReportError;
pub use keeper::ReportKeeper;
pub use schedule::{Interval, IntervalError};
