use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use godwit_e2e::bench::{self, Settings};

/// Measure the client's gap and the freeze beside the floor (runc and CRIU by hand), as a Markdown table
#[derive(Debug, Args)]
pub(super) struct Bench {
    /// How many runs of each kind
    #[arg(long, default_value_t = 20)]
    runs: u32,
    /// Data of the Redis that is moved, in MiB
    #[arg(long, default_value_t = 64)]
    size: u32,
    /// Measure the floor alone: needs no working migration
    #[arg(long)]
    floor_only: bool,
    /// Keep in this folder what CRIU and its relay wrote in each run
    #[arg(long)]
    keep: Option<PathBuf>,
}

impl Bench {
    pub(super) fn run(self) -> Result<ExitCode> {
        let settings = Settings {
            runs: self.runs,
            mebibytes: self.size,
            floor_only: self.floor_only,
            keep: self.keep,
        };
        let table = bench::run(&settings)?;
        println!(
            "`cargo e2e bench --runs {} --size {}`\n\n{}",
            settings.runs,
            settings.mebibytes,
            table.markdown()
        );
        Ok(ExitCode::SUCCESS)
    }
}
