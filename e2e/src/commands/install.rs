use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Args;

/// Build Godwit's images, load them on every node and install the chart
#[derive(Debug, Args)]
pub(super) struct Install {}

impl Install {
    #[expect(clippy::unused_self, reason = "like every subcommand")]
    pub(super) fn run(self) -> Result<ExitCode> {
        bail!("not there yet")
    }
}
