use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};
use godwit_e2e::bench::memory::{self, Pattern, Program, Way};
use godwit_e2e::bench::{self, Settings, look};

/// Measure the client's gap and the freeze beside the floor (runc and CRIU by hand), as a Markdown table
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Bench {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    freeze: Freeze,
}

#[derive(Debug, Subcommand)]
enum What {
    Memory(Memory),
    Look(Look),
}

#[derive(Debug, Args)]
struct Freeze {
    /// How many runs of each kind
    #[arg(long, default_value_t = 20)]
    runs: u32,
    /// Data of the Redis that is moved, in MiB
    #[arg(long, default_value_t = 64)]
    size: u32,
    /// Measure the floor alone: needs no working migration
    #[arg(long)]
    floor_only: bool,
    /// Keep in this folder what CRIU and its relay wrote in each run
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// Measure how the freeze depends on memory and on how fast it changes, beside runc by hand and Podman
#[derive(Debug, Args)]
struct Memory {
    /// Memory, in MiB
    #[arg(long, value_delimiter = ',', default_value = "64,1024,4096")]
    sizes: Vec<u32>,
    /// Memory written in a second, in MB
    #[arg(long, value_delimiter = ',', default_value = "0,50,200")]
    rates: Vec<u32>,
    /// Which pages are written
    #[arg(long, value_delimiter = ',', default_value = "uniform")]
    patterns: Vec<Pattern>,
    /// What is moved
    #[arg(long, value_delimiter = ',', default_value = "redis,pagewriter")]
    programs: Vec<Program>,
    /// Which ways are measured; podman alone needs no cluster
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "pre-copy,stop-and-copy,floor,podman"
    )]
    ways: Vec<Way>,
    /// Leave Podman out
    #[arg(long)]
    skip_podman: bool,
    /// How many runs of each way
    #[arg(long, default_value_t = 5)]
    runs: u32,
    /// Write memory-benchmark.md and memory-benchmark.svg into this folder, too
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

/// Measure what a look at a pod, before it is migrated, costs the agent
#[derive(Debug, Args)]
struct Look {
    /// How many looks at each pod
    #[arg(long, default_value_t = 10)]
    runs: u32,
    /// Processes of the crowd
    #[arg(long, default_value_t = 200)]
    processes: u32,
    /// Mappings of all of them together
    #[arg(long, default_value_t = 5_000)]
    mappings: u32,
}

impl Bench {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self.what {
            Some(What::Memory(memory)) => memory.run(),
            Some(What::Look(look)) => look.run(),
            None => self.freeze.run(),
        }
    }
}

impl Freeze {
    fn run(self) -> Result<ExitCode> {
        let settings = Settings {
            runs: self.runs,
            mebibytes: self.size,
            floor_only: self.floor_only,
            keep: self.keep,
        };
        let table = bench::run(&settings)?;
        println!(
            "`cargo e2e bench --runs {} --size {}`\n\n{}",
            settings.runs,
            settings.mebibytes,
            table.markdown()
        );
        Ok(ExitCode::SUCCESS)
    }
}

impl Memory {
    fn run(self) -> Result<ExitCode> {
        let mut ways = self.ways;
        if self.skip_podman {
            ways.retain(|way| *way != Way::Podman);
        }
        let settings = memory::Settings {
            sizes: self.sizes,
            rates: self.rates,
            patterns: self.patterns,
            programs: self.programs,
            runs: self.runs,
            ways,
            write: self.write,
        };
        let report = memory::run(&settings)?;
        println!("{}", report.markdown());
        Ok(ExitCode::SUCCESS)
    }
}

impl Look {
    fn run(self) -> Result<ExitCode> {
        let Self {
            runs,
            processes,
            mappings,
        } = self;
        let table = look::run(look::Settings {
            runs,
            processes,
            mappings,
        })?;
        println!(
            "`cargo e2e bench look --runs {runs} --processes {processes} --mappings {mappings}`\n\n{}",
            table.markdown()
        );
        Ok(ExitCode::SUCCESS)
    }
}
