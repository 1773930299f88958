//! What this node is like, for its annotation: [`godwit_crds::NodeFacts`].
//!
//! | file | its one idea |
//! |---|---|
//! | `kernel` | what files of the kernel say |
//! | `features` | what CRIU says that this kernel can do |
//! | `without` | features of the processor that a test wants to be left out |
//! | `publish` | all of it, gathered, and written anew when it changes |
//!
//! What cannot be found out is left out, and then not compared: nothing here fails.

mod features;
mod kernel;
mod publish;
mod without;

pub use publish::{gather, keep};
