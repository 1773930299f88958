use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

/// The first process of a node; started by `up`
#[derive(Debug, Args)]
pub(super) struct Init {
    spec: PathBuf,
}

impl Init {
    pub(super) fn run(self) -> Result<ExitCode> {
        godwit_e2e::init::run(&self.spec)?;
        Ok(ExitCode::SUCCESS)
    }
}
