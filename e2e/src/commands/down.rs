use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use godwit_e2e::cluster::teardown;

/// End the cluster and remove all that belongs to it, also what a killed run left
#[derive(Debug, Args)]
pub(super) struct Down {}

impl Down {
    #[expect(clippy::unused_self, reason = "like every subcommand")]
    pub(super) fn run(self) -> Result<ExitCode> {
        if !teardown::down()? {
            eprintln!("no cluster was up");
        }
        Ok(ExitCode::SUCCESS)
    }
}
