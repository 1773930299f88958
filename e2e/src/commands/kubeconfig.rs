use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use godwit_e2e::Cluster;

/// Print the path of the cluster's kubeconfig
#[derive(Debug, Args)]
pub(super) struct Kubeconfig {}

impl Kubeconfig {
    #[expect(clippy::unused_self, reason = "like every subcommand")]
    pub(super) fn run(self) -> Result<ExitCode> {
        println!("{}", Cluster::running()?.kubeconfig().display());
        Ok(ExitCode::SUCCESS)
    }
}
