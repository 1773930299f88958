use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use godwit_e2e::Cluster;
use godwit_e2e::cluster::start::Outcome;

/// Start the cluster and wait until all nodes are Ready; the first time, make what it consists of
#[derive(Debug, Args)]
pub(super) struct Up {
    /// How many nodes
    #[arg(long, default_value_t = 3)]
    nodes: u8,
}

impl Up {
    pub(super) fn run(self) -> Result<ExitCode> {
        let (_, outcome) = Cluster::start(self.nodes)?;
        if outcome == Outcome::WasUp {
            eprintln!("the cluster is up already");
        }
        Ok(ExitCode::SUCCESS)
    }
}
