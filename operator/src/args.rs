//! The command line.

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};

/// Plans migrations of pods, creates target pods and publishes status.
#[derive(Clone, Debug, Parser)]
#[command(name = "godwit-operator", version, about)]
pub struct Args {
    /// Namespace of the release: of the lease, of the agents' authority and of their service account.
    #[arg(long, env = "POD_NAMESPACE", default_value = "godwit-system")]
    pub namespace: String,
    /// Name under which this replica holds the lease and reports events.
    #[arg(long, env = "POD_NAME", default_value = "godwit-operator")]
    pub identity: String,
    /// Service account of the agents, whose certificate requests are signed.
    #[arg(long, env = "AGENT_SERVICE_ACCOUNT", default_value = "godwit-agent")]
    pub agent_service_account: String,
    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// How logs are written.
    #[arg(long, env = "LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// How many migrations are worked on at the same moment.
    #[arg(long, env = "CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One line of text an event.
    Text,
    /// One JSON object an event.
    Json,
}
