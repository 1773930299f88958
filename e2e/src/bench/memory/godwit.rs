//! Godwit's migrations, with memory copied ahead and without, in turns.

use std::time::Duration;

use anyhow::{Context, Result};
use godwit_crds::MigrationPhase;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::cell::{Cell, Program};
use super::footprint::Footprint;
use super::load::Load;
use super::report::Report;
use super::ways::{Figures, Way};
use super::windows::{self, Windows};
use crate::Cluster;
use crate::bench::client::Connection;
use crate::bench::moved::{self, Moved, MovedRun};

/// Before each move: long enough to know the normal throughput.
const BEFORE: Duration = Duration::from_millis(1500);
/// After each move: what follows the freeze is looked at for so long.
const AFTER: Duration = Duration::from_secs(1);

/// Where it happens.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) runtime: &'a Runtime,
    pub(super) api: &'a kube::Client,
}

/// Moves the cell's program `runs` times by each of these ways.
pub(super) fn measure(
    place: Place<'_>,
    cell: Cell,
    ways: &[Way],
    runs: u32,
    report: &mut Report,
) -> Result<()> {
    let nodes: Vec<_> = place.cluster.nodes().collect();
    let [first, second, third, ..] = nodes.as_slice() else {
        anyhow::bail!("three nodes are needed");
    };
    let pod = moved::pod(
        place.runtime,
        place.api,
        "godwit-bench",
        first.name(),
        &cell.container(),
    )?;
    let mut connection = moved::connection(&pod, *third)?;
    connection.fill(cell.fill())?;
    // It lives through all moves, as the client's does.
    let second_connection = moved::connection(&pod, *third)?;
    let mut inside = match cell.program {
        Program::Redis => Inside::Redis((cell.rate > 0).then(|| Load::start(second_connection, cell))),
        Program::Pagewriter => Inside::Pagewriter(second_connection),
    };
    let mut moved = Moved::of(
        place.cluster,
        place.runtime,
        place.api,
        (&pod, first.name()),
        connection,
    );
    for number in 0..runs {
        for &way in ways {
            std::thread::sleep(BEFORE);
            let to = if moved.at() == first.name() {
                second.name()
            } else {
                first.name()
            };
            let mode = if way == Way::PreCopy {
                "PreCopy"
            } else {
                "StopAndCopy"
            };
            let footprint = Footprint::watch(place.cluster, &[first.name(), second.name()]);
            let run = moved.run_with(to, &json!({"memory": mode}));
            let (agents, files) = footprint.end();
            let run = run.with_context(|| format!("{} number {}", way.name(), number + 1))?;
            std::thread::sleep(AFTER);
            let mut figures = figures(&run, &inside.windows()?);
            figures.agents_mib = Some(mebibytes(agents));
            figures.files_mib = Some(mebibytes(files));
            eprintln!("    {}: {}", way.name(), report.add(cell, way, figures));
        }
    }
    inside.verify()
}

/// What is known from inside.
enum Inside {
    Redis(Option<Load>),
    Pagewriter(Connection),
}

impl Inside {
    fn windows(&mut self) -> Result<Windows> {
        match self {
            Self::Redis(load) => Ok(load.as_ref().map(Load::windows).unwrap_or_default()),
            Self::Pagewriter(connection) => {
                let stats: Value = serde_json::from_str(&connection.ask("stats")?)?;
                Ok(serde_json::from_value(stats["windows"].clone())?)
            }
        }
    }

    /// Figures of a move that damages memory are worth nothing.
    fn verify(&mut self) -> Result<()> {
        if let Self::Pagewriter(connection) = self {
            let answer = connection.ask("verify")?;
            anyhow::ensure!(answer.starts_with("ok "), "the memory is damaged: {answer}");
        }
        Ok(())
    }
}

fn figures(run: &MovedRun, windows: &Windows) -> Figures {
    let freeze_began = run.gap_end_us.saturating_sub(run.gap_us);
    let copying = run
        .status
        .transitions
        .iter()
        .find(|transition| transition.phase == MigrationPhase::Copying)
        .and_then(|transition| u64::try_from(transition.at.0.as_microsecond()).ok())
        .unwrap_or(run.began_us);
    let before = windows::rate(windows, run.began_us.saturating_sub(2_000_000), run.began_us);
    let copy = windows::rate(windows, copying, freeze_began);
    let fill = windows::rate(windows, run.gap_end_us, run.gap_end_us + 1_000_000);
    Figures {
        freeze_ms: Some(milliseconds(run.freeze_us)),
        gap_ms: Some(milliseconds(run.gap_us)),
        total_ms: Some(milliseconds(run.whole_us)),
        sent_mib: Some(mebibytes(u64::try_from(run.bytes).unwrap_or(0))),
        copy_percent: windows::percent(copy, before),
        fill_percent: windows::percent(fill, before),
        agents_mib: None,
        files_mib: None,
    }
}

#[expect(clippy::cast_precision_loss, reason = "durations of seconds")]
pub(super) fn milliseconds(us: u64) -> f64 {
    us as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "sizes of gigabytes")]
pub(super) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
