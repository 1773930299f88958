use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use godwit_e2e::images::product::Faults;
use godwit_e2e::suite::{self, Behaviour, Tally, checks};
use godwit_e2e::{Cluster, install};

/// Run every test: of the source text, of the crates, and of a real cluster
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the command line"
)]
pub(super) struct Test {
    /// Only the cluster's behaviours whose name contains this
    #[arg(long, value_name = "SUBSTRING")]
    only: Option<String>,
    /// Say what there is and run nothing
    #[arg(long)]
    list: bool,
    /// Only the cluster's behaviours
    #[arg(long)]
    cluster_only: bool,
    /// Take the Godwit that is installed
    #[arg(long)]
    no_install: bool,
    /// Show what is shown of memory at full length: a hundred moves, a gigabyte (with `--only memory`: half an hour)
    #[arg(long)]
    soak: bool,
}

impl Test {
    pub(super) fn run(self) -> ExitCode {
        if self.soak {
            suite::memory::soak();
        }
        let chosen: Vec<Behaviour> = suite::all()
            .filter(|behaviour| {
                self.only
                    .as_ref()
                    .is_none_or(|part| behaviour.name.contains(part.as_str()))
            })
            .collect();
        if self.list {
            for behaviour in &chosen {
                println!("{}", behaviour.name);
            }
            return ExitCode::SUCCESS;
        }
        let mut total = Tally::default();
        let mut summaries = Vec::new();
        if !self.cluster_only && self.only.is_none() {
            let (tally, mut found) = checks::all();
            total.add(tally);
            summaries.append(&mut found);
        }
        let shown = self.in_cluster(&chosen).unwrap_or_else(|error| {
            println!("FAILED  the cluster's tests could not run: {error:#}");
            Tally { passed: 0, failed: 1 }
        });
        total.add(shown);
        println!();
        for summary in summaries {
            println!("{summary}");
        }
        println!("cluster: {shown}");
        println!("{total}");
        let nothing_failed = total.failed == 0 && total.passed > 0;
        if nothing_failed {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn in_cluster(&self, chosen: &[Behaviour]) -> Result<Tally> {
        let cluster = Cluster::ensure(3)?;
        install::test_images(&cluster)?;
        if !self.no_install {
            install::everything(&cluster, Faults::OnDemand)?;
        }
        suite::in_cluster(&cluster, chosen)
    }
}
