//! How freeze, time and bytes depend on memory and on how fast it changes: Godwit with and without copying ahead, the
//! floor (runc by hand), and Podman, one after the other for each cell of a matrix.
//!
//! | file | its one idea |
//! |---|---|
//! | `cell` | what is moved: program, memory, rate, pattern |
//! | `ways` | the ways to move it, and what each has cost |
//! | `godwit`, `floor`, `podman` | one way each |
//! | `load` | writing to a Redis at a pace |
//! | `windows` | throughput from windows |
//! | `footprint` | memory that the agents take |
//! | `report`, `plot` | a table, a picture |

mod cell;
mod floor;
pub(crate) mod footprint;
mod godwit;
mod load;
pub mod plot;
mod podman;
pub mod report;
mod ways;
mod windows;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

pub use cell::{Cell, Pattern, Program};
pub use report::Report;
pub use ways::{Figures, Way};

use super::moved;
use crate::{Cluster, install};

/// What to measure.
#[derive(Debug, Clone)]
pub struct Settings {
    /// MiB.
    pub sizes: Vec<u32>,
    /// MB (millions of bytes) written in a second.
    pub rates: Vec<u32>,
    /// Which pages are written.
    pub patterns: Vec<Pattern>,
    /// What is moved.
    pub programs: Vec<Program>,
    /// How often, of each way.
    pub runs: u32,
    /// The ways that are measured.
    pub ways: Vec<Way>,
    /// A folder for `memory-benchmark.md` and `memory-benchmark.svg`.
    pub write: Option<PathBuf>,
}

impl Settings {
    /// Which pages are written makes no difference to the ways that stop the program before they copy: they are measured for the first pattern
    /// alone. Nor does it make any how fast, where the program is stopped for all of the way.
    fn is_worth(&self, way: Way, cell: Cell) -> bool {
        let first = self.patterns.first() == Some(&cell.pattern);
        match way {
            Way::PreCopy => true,
            Way::StopAndCopy | Way::Floor => first,
            Way::Podman => first && cell.rate == 0,
        }
    }

    fn ways_of(&self, cell: Cell) -> Vec<Way> {
        let ways = self.ways.iter().copied();
        ways.filter(|way| self.is_worth(*way, cell)).collect()
    }

    /// All cells of the matrix. A pattern makes no difference where nothing is written.
    pub fn cells(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for &program in &self.programs {
            for &mebibytes in &self.sizes {
                for &rate in &self.rates {
                    for (number, &pattern) in self.patterns.iter().enumerate() {
                        if rate > 0 || number == 0 {
                            cells.push(Cell {
                                program,
                                mebibytes,
                                rate,
                                pattern,
                            });
                        }
                    }
                }
            }
        }
        cells
    }
}

/// Measures all cells; what was measured until a way failed counts, with the failure in its row. Everything that it makes is
/// removed.
pub fn run(settings: &Settings) -> Result<Report> {
    let mut report = Report::default();
    let needs_cluster = settings.ways.iter().any(|way| *way != Way::Podman);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let cluster = needs_cluster.then(Cluster::running).transpose()?;
    let api = match &cluster {
        Some(cluster) => {
            ensure!(
                cluster.nodes().count() >= 3,
                "three nodes are needed: two for the pod, one for the client"
            );
            // Nodes have those of the time of their start.
            install::test_images(cluster)?;
            let api = runtime.block_on(cluster.client())?;
            moved::clear(&runtime, &api)?;
            Some(api)
        }
        None => None,
    };
    for cell in settings.cells() {
        eprintln!("{cell}");
        let ways = settings.ways_of(cell);
        if let (Some(cluster), Some(api)) = (&cluster, &api) {
            let modes: Vec<Way> = [Way::PreCopy, Way::StopAndCopy]
                .into_iter()
                .filter(|way| ways.contains(way))
                .collect();
            let place = godwit::Place {
                cluster,
                runtime: &runtime,
                api,
            };
            if !modes.is_empty() {
                let ended = godwit::measure(place, cell, &modes, settings.runs, &mut report);
                note(&mut report, cell, &modes, ended);
                moved::clear(&runtime, api)?;
            }
            if ways.contains(&Way::Floor) {
                let ended = floor::measure(place, cell, settings.runs, &mut report);
                note(&mut report, cell, &[Way::Floor], ended);
                moved::clear(&runtime, api)?;
            }
        }
        if ways.contains(&Way::Podman) {
            let ended = podman::measure(cell, settings.runs, &mut report);
            note(&mut report, cell, &[Way::Podman], ended);
        }
        if let Some(dir) = &settings.write {
            report.write(dir).context("write the report")?;
        }
    }
    Ok(report)
}

fn note(report: &mut Report, cell: Cell, ways: &[Way], ended: Result<()>) {
    if let Err(error) = ended {
        eprintln!("    failed: {error:#}");
        for way in ways {
            report.fails(cell, *way, &format!("{error:#}"));
        }
    }
}
