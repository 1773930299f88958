use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use godwit_e2e::cluster::state::State;
use godwit_e2e::paths;

/// Say what is up; exit code 1 if the cluster is not
#[derive(Debug, Args)]
pub(super) struct Status {}

impl Status {
    #[expect(clippy::unused_self, reason = "like every subcommand")]
    pub(super) fn run(self) -> Result<ExitCode> {
        let Some(state) = State::read()? else {
            println!("down");
            return Ok(ExitCode::FAILURE);
        };
        let mark = |alive: bool| if alive { "up" } else { "ENDED" };
        println!("control plane  {}", mark(state.control_plane.alive()));
        for node in &state.nodes {
            println!(
                "{:<13}  {}  {}  pid {}",
                node.name,
                mark(node.init.alive()),
                node.address,
                node.init.pid
            );
        }
        println!("kubeconfig     {}", paths::kubeconfig().display());
        println!("logs           {}", paths::log_dir().display());
        Ok(if state.alive() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
