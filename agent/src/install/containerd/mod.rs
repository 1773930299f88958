//! containerd's configuration files: what is there, and what Godwit's runtime entry would change in them.
//!
//! Reading the files is I/O (`sources`), deciding is pure (`plan`).

mod entry;
mod error;
mod marked;
mod plan;
mod sources;

pub use error::ConfigError;
pub use marked::{cut as cut_marked, is_marked, is_only_marked};
pub use plan::{Plan, handler_of, plan, without_handler};
pub use sources::{ConfigFile, ConfigSet};
