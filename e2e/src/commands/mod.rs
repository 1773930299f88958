//! One file for each subcommand.

mod bench;
mod demo;
mod down;
mod init;
mod install;
mod kubeconfig;
mod kubectl;
mod load;
mod node;
mod status;
mod table;
mod test;
mod up;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// A real Kubernetes cluster on this machine, and the tests that run in it
#[derive(Debug, Parser)]
#[command(name = "cargo e2e", version)]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Debug, Subcommand)]
enum Subcommands {
    Up(up::Up),
    Bench(bench::Bench),
    Demo(demo::Demo),
    Down(down::Down),
    Status(status::Status),
    Kubectl(kubectl::Kubectl),
    Kubeconfig(kubeconfig::Kubeconfig),
    Node(node::Node),
    Load(load::Load),
    Install(install::Install),
    Test(test::Test),
    Table(table::Table),
    #[command(hide = true, name = godwit_e2e::init::SUBCOMMAND)]
    Init(init::Init),
}

/// Do what the command line says. The exit code is that of the program which was run, if one was.
pub(crate) fn run() -> Result<ExitCode> {
    match Arguments::parse().command {
        Subcommands::Up(up) => up.run(),
        Subcommands::Bench(bench) => bench.run(),
        Subcommands::Demo(demo) => demo.run(),
        Subcommands::Down(down) => down.run(),
        Subcommands::Status(status) => status.run(),
        Subcommands::Kubectl(kubectl) => kubectl.run(),
        Subcommands::Kubeconfig(kubeconfig) => kubeconfig.run(),
        Subcommands::Node(node) => node.run(),
        Subcommands::Load(load) => load.run(),
        Subcommands::Install(install) => install.run(),
        Subcommands::Test(test) => Ok(test.run()),
        Subcommands::Table(table) => table.run(),
        Subcommands::Init(init) => init.run(),
    }
}

/// The exit code that a shell gives for a program that ended like this.
fn passed_on(status: std::process::ExitStatus) -> ExitCode {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}
