//! A table of workloads: small programs that use one feature each, in six languages. Each moves and finds all that it had, or is refused by the
//! check that its row names.

mod group;
mod page;
mod row;
mod rows;
mod try_all;

use super::Behaviour;

pub use page::{TABLE_FILE, table};

/// All of them.
pub const ALL: &[Behaviour] = &[try_all::BEHAVIOUR];
