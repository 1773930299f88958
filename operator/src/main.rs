//! The operator's binary: reads the command line and runs until it is told to end.

#![forbid(unsafe_code)]

use clap::Parser;
use godwit_operator::{args::Args, logging, run};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    logging::init(args.log_format)?;
    run::run(args).await
}
