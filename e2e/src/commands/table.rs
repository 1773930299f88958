use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use godwit_e2e::paths;
use godwit_e2e::suite::workloads::{TABLE_FILE, table};

/// Write the table of workloads from their rows; `cargo run --bin crdgen` then puts it into docs/limits.md
#[derive(Debug, Args)]
pub(super) struct Table {}

impl Table {
    #[expect(clippy::unused_self, reason = "like every subcommand")]
    pub(super) fn run(self) -> Result<ExitCode> {
        let path = paths::workspace().join(TABLE_FILE);
        std::fs::write(&path, table()).with_context(|| format!("write {}", path.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
