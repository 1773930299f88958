//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use godwit_crds::Bandwidth;

use crate::node_report::Interval;
use crate::telemetry::LogFormat;

/// The node side of Godwit: moves running pods between nodes.
#[derive(Debug, Parser)]
#[command(name = "godwit-agent", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Install on this node, then take part in migrations until ended.
    Run(RunOptions),
    /// Take out of this node what `run` installed; refused while pods depend on it.
    Uninstall(UninstallOptions),
    /// Supervise one runtime call; started by the agent itself.
    #[command(hide = true)]
    Call {
        /// Directory of the call.
        #[arg(long = "dir")]
        directory: PathBuf,
    },
}

/// Options of both `run` and `uninstall`.
#[derive(Debug, Clone, Args)]
pub struct NodeOptions {
    /// Name of the node on which this agent runs.
    #[arg(long, env = "NODE_NAME")]
    pub node_name: String,
    /// Where the root of the host is seen; `/` on the host itself.
    #[arg(long, default_value = "/proc/1/root")]
    pub host_root: PathBuf,
    /// Form of the log.
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// Options of `run`.
#[derive(Debug, Clone, Args)]
pub struct RunOptions {
    /// This node.
    #[command(flatten)]
    pub node: NodeOptions,
    /// Address at which the agents of other nodes reach this one (the node's `InternalIP`).
    #[arg(long, env = "NODE_IP")]
    pub node_address: IpAddr,
    /// Namespace of the release, in which the config map `godwit-ca` is.
    #[arg(long, env = "POD_NAMESPACE")]
    pub namespace: String,
    /// Port for the agents of other nodes.
    #[arg(long, default_value_t = 9551)]
    pub port: u16,
    /// Port for metrics and health.
    #[arg(long, default_value_t = 9552)]
    pub metrics_port: u16,
    /// What the migrations of this node send at most while their pods run, in bytes per second: a quantity such as `100M`.
    #[arg(long)]
    pub bandwidth: Option<Bandwidth>,
    /// Time between two looks at all pods of this node for its report; 0: only when asked.
    #[arg(long, default_value = "5m")]
    pub report_interval: Interval,
    /// What this image brings along for the node.
    #[arg(long, default_value = "/opt/godwit")]
    pub payload: PathBuf,
}

/// Options of `uninstall`.
#[derive(Debug, Clone, Args)]
pub struct UninstallOptions {
    /// This node.
    #[command(flatten)]
    pub node: NodeOptions,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let arguments = [
            "godwit-agent",
            "run",
            "--node-name",
            "n1",
            "--node-address",
            "10.0.0.1",
            "--namespace",
            "g",
        ];
        let Command::Run(options) = Cli::try_parse_from(arguments).unwrap().command else {
            panic!("not run")
        };
        assert_eq!((options.port, options.metrics_port), (9551, 9552));
        assert_eq!(options.node.host_root, PathBuf::from("/proc/1/root"));
        assert!(
            Cli::try_parse_from(["godwit-agent", "uninstall"]).is_err()
                || std::env::var_os("NODE_NAME").is_some()
        );
    }
}
