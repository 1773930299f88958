use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use godwit_e2e::Cluster;

/// Run a command inside a node
#[derive(Debug, Args)]
pub(super) struct Node {
    /// n1, n2, …
    name: String,
    /// The command; a shell if left out
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

impl Node {
    pub(super) fn run(self) -> Result<ExitCode> {
        let cluster = Cluster::running()?;
        let command = if self.command.is_empty() {
            vec!["bash".to_owned()]
        } else {
            self.command
        };
        let (program, arguments) = command.split_first().context("no command given")?;
        let status = cluster
            .node(&self.name)?
            .command(program)
            .args(arguments)
            .status()?;
        Ok(super::passed_on(status))
    }
}
