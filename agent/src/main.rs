//! `godwit-agent`: see `--help`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use godwit_agent::cli::{Cli, Command};
use godwit_agent::{run, telemetry};

/// The pages of a pod pass through buffers of 256 KiB; the C library gives each back to the kernel and gets it anew, page by page, which
/// cost a sixth of the agents' time in the freeze.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        // Before there is a second thread: the kernel lets no process with threads into another mount namespace.
        Command::Call { directory } => Ok(ExitCode::from(godwit_container::call::supervise(&directory))),
        Command::Run(options) => {
            telemetry::init(options.node.log_format).context("cannot start logging")?;
            runtime()?.block_on(run::run(options)).context("the agent ends")?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Uninstall(options) => {
            telemetry::init(options.node.log_format).context("cannot start logging")?;
            runtime()?
                .block_on(run::uninstall(&options))
                .context("not uninstalled")?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Runtime::new().context("cannot start the runtime")
}
