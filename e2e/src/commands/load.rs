use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use godwit_e2e::Cluster;

/// Import OCI image archives on every node
#[derive(Debug, Args)]
pub(super) struct Load {
    /// Archives, as `docker save` or `skopeo copy … oci-archive:` write them
    #[arg(required = true)]
    archives: Vec<PathBuf>,
}

impl Load {
    pub(super) fn run(self) -> Result<ExitCode> {
        let cluster = Cluster::running()?;
        for archive in &self.archives {
            cluster.load(archive)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
