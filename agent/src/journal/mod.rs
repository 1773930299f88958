//! What an agent must remember of a migration if it is killed: one append-only file per migration and role.
//!
//! An entry is on disk (`fdatasync`) before the step that it announces begins, so that after a crash the journal
//! names everything that may have to be undone. The last line may be torn; it then announces a step that never began.

mod file;
mod source;
mod target;

pub use file::{Journal, JournalDir, JournalError};
pub use source::{SourceEntry, SourceResume, Undo, resume_source, undo_source};
pub use target::{TargetEntry, TargetResume, resume_target};
