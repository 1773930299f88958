use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use godwit_e2e::Cluster;

/// Run kubectl with the cluster's kubeconfig
#[derive(Debug, Args)]
#[command(disable_help_flag = true)]
pub(super) struct Kubectl {
    /// kubectl's own arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Kubectl {
    pub(super) fn run(self) -> Result<ExitCode> {
        let mut kubectl = Cluster::running()?.kubectl()?;
        // It becomes this process: signals and the terminal are its own.
        Err(kubectl.args(self.arguments).exec()).context("run kubectl")
    }
}
