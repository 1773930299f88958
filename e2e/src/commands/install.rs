use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use godwit_e2e::images::product::Faults;
use godwit_e2e::{Cluster, install};

/// Build Godwit's images, load them on every node and install the chart
#[derive(Debug, Args)]
pub(super) struct Install {
    /// Build and load the images only
    #[arg(long)]
    images_only: bool,
    /// Build the agents so that tests can make them fail at a step
    #[arg(long)]
    faults: bool,
    /// Further arguments for `helm upgrade --install`
    #[arg(last = true)]
    helm: Vec<String>,
}

impl Install {
    pub(super) fn run(self) -> Result<ExitCode> {
        let cluster = Cluster::running()?;
        let faults = if self.faults {
            Faults::OnDemand
        } else {
            Faults::Absent
        };
        let archives = install::load_images(&cluster, faults)?;
        if !self.images_only {
            install::chart(&cluster, &archives, &self.helm)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
